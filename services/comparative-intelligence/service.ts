import { z } from 'zod';

import { entryOf } from '#config/catalogue.ts';
import { ownToken, ownTokenFile } from '#runtime/access/tokens.ts';
import { openToRead } from '#runtime/database.ts';
import { quotaField, quotaOf } from '#runtime/quotas.ts';
import { defineService } from '#runtime/service.ts';
import type { AnyTool } from '#runtime/tool.ts';
import { skillBeside } from '#runtime/skill.ts';

import type { Comparing } from './comparing.ts';
import { profileClient } from './profile/client.ts';
import { openCopy } from './profile/copy.ts';
import { resources } from './resources.ts';
import { routes } from './routes.ts';
import { databaseFile, openStore } from './store/store.ts';
import { compareModels } from './tools/compare-models.ts';
import { evaluatePolicy } from './tools/evaluate-policy.ts';
import { generateReport } from './tools/generate-report.ts';
import { identifyStrengths } from './tools/identify-strengths.ts';
import { judgeAgreement } from './tools/judge-agreement.ts';
import { planExperiment } from './tools/plan-experiment.ts';
import { rankModels } from './tools/rank-models.ts';
import { recommendModel } from './tools/recommend-model.ts';
import { recordBattles } from './tools/record-battles.ts';

/** What says which of two is better, and of all. */
const coreTools: readonly AnyTool<Comparing>[] = [compareModels, rankModels, recordBattles, recommendModel];

const allTools: readonly AnyTool<Comparing>[] = [
  ...coreTools,
  identifyStrengths,
  planExperiment,
  judgeAgreement,
  evaluatePolicy,
  generateReport,
];

const name = 'comparative-intelligence';
const profile = 'model-profile';

export default defineService({
  name,
  settings: z.object({
    FLOTILLA_COMPARATIVE_INTELLIGENCE_TOOLS: z
      .enum(['core', 'full'])
      .default('full')
      .describe('Which tools to offer: core (comparing, ranking, recording battles, recommending) or full.'),
    FLOTILLA_COMPARATIVE_INTELLIGENCE_COPY_ITEMS: z.coerce
      .number('must be a number')
      .int('must be a whole number')
      .min(1_000, 'must be at least 1000')
      .max(100_000_000)
      .default(2_000_000)
      .describe(
        'Decisions of model-profile that are kept as a copy, of each token that recorded them; its oldest go first.',
      ),
    FLOTILLA_COMPARATIVE_INTELLIGENCE_QUOTA_MB: quotaField(
      1_024,
      'Megabytes of battles, reports and recommendations that each token may keep.',
    ),
    FLOTILLA_COMPARATIVE_INTELLIGENCE_QUOTA_ITEMS: quotaField(
      10_000_000,
      'Battles, reports and recommendations that each token may keep.',
    ),
  }),
  skill: skillBeside(import.meta.url),
  instructions:
    'Compares models with intervals: compare_models for two, rank_models for all, recommend_model to choose one. Read verdict, needed_n and warnings before relying on a figure; inconclusive means that more data are needed, not that both are alike.',
  tools: allTools,
  // As the names with the prefix that clients put before them may have 64 characters, two are short.
  aliases: {
    identify_strengths_weaknesses: 'identify_strengths',
    generate_comparison_report: 'generate_report',
  },
  core: coreTools,
  offers: (tool, { FLOTILLA_COMPARATIVE_INTELLIGENCE_TOOLS: choice }) =>
    choice === 'full' || coreTools.includes(tool),
  canary: { tool: 'plan_experiment', arguments: { delta: 0.05 } },
  resources,
  routes,
  async open({ settings, host, log, dataDir }): Promise<Comparing> {
    const store = await openStore(dataDir, {
      quota: quotaOf(
        settings.FLOTILLA_COMPARATIVE_INTELLIGENCE_QUOTA_MB,
        settings.FLOTILLA_COMPARATIVE_INTELLIGENCE_QUOTA_ITEMS,
      ),
      decisions: settings.FLOTILLA_COMPARATIVE_INTELLIGENCE_COPY_ITEMS,
    });
    const port = entryOf(profile)?.port ?? 0;
    const client = profileClient({
      url: `http://127.0.0.1:${port + host.FLOTILLA_PORT_OFFSET}`,
      secret: async () => ownToken(dataDir, { name, scope: entryOf(name)?.asks ?? [] }),
    });
    const copy = openCopy(store, client, log);
    return {
      store,
      copy,
      rankings: new Map(),
      async [Symbol.asyncDispose]() {
        await copy[Symbol.asyncDispose]();
        await store[Symbol.asyncDispose]();
      },
    };
  },
  secretFiles: [ownTokenFile],
  // Without asking anybody for anything.
  openCopy: (dataDir) => openToRead(databaseFile(dataDir)),
  check({ store }) {
    store.probe();
    return { ready: true, reasons: [] };
  },
  kept: ({ store }) => store.kept(),
});
