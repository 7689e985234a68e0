import { z } from 'zod';

import { openToRead } from '#runtime/database.ts';
import { quotaField, quotaOf } from '#runtime/quotas.ts';
import { defineService } from '#runtime/service.ts';
import type { AnyTool } from '#runtime/tool.ts';
import { skillBeside } from '#runtime/skill.ts';

import { openStandings, routes, type Profile } from './standings.ts';
import { databaseFile, openStore, type Store } from './store/store.ts';
import { detectDrift } from './tools/detect-drift.ts';
import { exportProfile } from './tools/export.ts';
import { findPatterns } from './tools/find-patterns.ts';
import { getCalibration } from './tools/get-calibration.ts';
import { getProfile } from './tools/get-profile.ts';
import { getDecisionHistory } from './tools/history.ts';
import { recordDecision, recordDecisions, registerModel, resolveOutcome } from './tools/record.ts';

/** What records decisions one by one, and says what became of them. */
const coreTools: readonly AnyTool<Store>[] = [
  registerModel,
  recordDecision,
  resolveOutcome,
  getProfile,
  getCalibration,
];

export const allTools: readonly AnyTool<Store>[] = [
  ...coreTools,
  recordDecisions,
  getDecisionHistory,
  detectDrift,
  findPatterns,
  exportProfile,
];

const whole = (initial: number, most: number, description: string) =>
  z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(most)
    .default(initial)
    .describe(description);

export default defineService({
  name: 'model-profile',
  settings: z.object({
    FLOTILLA_MODEL_PROFILE_TOOLS: z
      .enum(['core', 'full'])
      .default('full')
      .describe(
        'Which tools to offer: core (registering, recording one by one, outcomes, profile, calibration) or full.',
      ),
    FLOTILLA_MODEL_PROFILE_KEEP_DECISIONS: whole(
      10_000_000,
      1_000_000_000,
      'Decisions of each token that are kept one by one, some 200 bytes each; its oldest go first. All sums stay.',
    ),
    FLOTILLA_MODEL_PROFILE_KEEP_DAYS: whole(365, 3_650, 'Decisions older than this go. All sums stay.'),
    FLOTILLA_MODEL_PROFILE_QUOTA_MB: quotaField(4_096, 'Megabytes that decisions of each token may take.'),
    // More than are kept one by one: the oldest go before anything is refused.
    FLOTILLA_MODEL_PROFILE_QUOTA_ITEMS: quotaField(
      12_000_000,
      'Decisions, and outcomes that came later, that each token may keep.',
    ),
  }),
  skill: skillBeside(import.meta.url),
  instructions:
    'Keeps what models decided and how it turned out: register_model, record_decisions, resolve_outcome later; then get_profile for success rates, get_calibration for confidence, detect_drift and find_patterns. Every figure has its interval, n and sources.',
  tools: allTools,
  core: coreTools,
  offers: (tool, { FLOTILLA_MODEL_PROFILE_TOOLS: choice }) => choice === 'full' || coreTools.includes(tool),
  canary: { tool: 'get_profile', arguments: { limit: 1 } },
  routes,
  open: async ({ settings, dataDir, log, metrics, now }): Promise<Profile> => {
    const store = await openStore(
      dataDir,
      {
        days: settings.FLOTILLA_MODEL_PROFILE_KEEP_DAYS,
        decisions: settings.FLOTILLA_MODEL_PROFILE_KEEP_DECISIONS,
        quota: quotaOf(settings.FLOTILLA_MODEL_PROFILE_QUOTA_MB, settings.FLOTILLA_MODEL_PROFILE_QUOTA_ITEMS),
      },
      log,
    );
    metrics.gauge(
      'flotilla_model_profile_changes',
      'Decisions and later outcomes since the store was made.',
      () => store.reading.change(),
    );
    metrics.gauge('flotilla_model_profile_queued', 'Decisions that wait to be written.', () =>
      store.queued(),
    );
    metrics.gauge(
      'flotilla_model_profile_refused_busy',
      'Decisions sent away since the start, because too many waited.',
      () => store.refusedBusy(),
    );
    return { ...store, standings: openStandings(store.reading, now) };
  },
  // Without the thread, which would let go what is old.
  openCopy: (dataDir) => openToRead(databaseFile(dataDir)),
  check(store) {
    store.probe();
    return { ready: true, reasons: [] };
  },
  kept: (store) => store.kept(),
  describe: ({ reading, queued, refusedBusy }) => ({
    ...reading.counts(),
    last_change: reading.change(),
    last_gone: reading.lastGone(),
    queued: queued(),
    refused_busy: refusedBusy(),
    durability: 'synchronous=FULL',
  }),
});
