/** The program of all agents: made for each by its name. */
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { entryOf, type AgentName } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { ownToken, ownTokenFile, TokenRegistry } from '#runtime/access/tokens.ts';
import type { Metrics } from '#runtime/account/metrics.ts';
import { ConfigError } from '#runtime/errors.ts';
import { settingsPrefix } from '#runtime/process/settings.ts';
import { defineService } from '#runtime/service.ts';

import { agentFace } from './agent-face.ts';
import { openAtOnce } from './at-once.ts';
import { openGateway } from './gateway.ts';
import { mostWorkBytes } from './limits.ts';
import { startMerging } from './merging.ts';
import type { Model } from './model.ts';
import { profiles } from './profiles.ts';
import type { Agent } from './tools.ts';
import { startWork, type Counts } from './worker.ts';

export default function agentService(name: AgentName) {
  const mostTasks = `${settingsPrefix(name)}MOST_TASKS`;
  const looks = `${settingsPrefix(name)}LOOK_SECONDS`;
  const { capabilities } = profiles[name];
  const merges = capabilities.includes('integration');
  const { description = '', asks = [] } = entryOf(name) ?? {};
  return defineService({
    name,
    settings: z.object({
      [mostTasks]: z.coerce
        .number('must be a number')
        .int('must be a whole number')
        .min(1)
        .max(5)
        .default(3)
        .describe(
          'Tasks of projects that the agent does at a time; of those that it does at once, as many again.',
        ),
      ...(merges && {
        [looks]: z.coerce
          .number('must be a number')
          .min(1)
          .max(3_600)
          .default(10)
          .describe('How often it looks whether the branches of tasks are merged.'),
      }),
    }),
    open({ settings, dataDir, host, log, now, metrics }): Agent {
      const { port = 0 } = entryOf('gateway') ?? {};
      const gateway = openGateway(port + host.FLOTILLA_PORT_OFFSET, async () =>
        ownToken(dataDir, { name, scope: asks }),
      );
      const most = settings[mostTasks] ?? 3;
      const counts: Counts = { completed: 0, failed: 0, asked: 0, lost: 0 };
      const tokens = new TokenRegistry(dirname(dataDir), {
        unreadable: (error) => log.error('tokens_not_read', { error }),
      });
      const deputy = { agent: name, gateway, tokens: () => tokens.all(), now, log };
      const doer = { ...deputy, capabilities, model: modelOf(host) };
      const work = startWork({ ...doer, description, mostTasks: most, counts });
      const atOnce = openAtOnce(doer, most, counts);
      const merging =
        merges &&
        startMerging({
          ...deputy,
          everyMs: (settings[looks] ?? 10) * 1_000,
          notesFile: join(dataDir, 'merges.json'),
        });
      const agent: Agent = {
        name,
        mostTasks: most,
        startedAtMs: now(),
        counts,
        work,
        atOnce,
        async [Symbol.asyncDispose]() {
          await Promise.all([work[Symbol.asyncDispose](), merging && merging[Symbol.asyncDispose]()]);
          gateway.close();
        },
      };
      measure(agent, metrics);
      return agent;
    },
    secretFiles: [ownTokenFile],
    // Without going to work.
    openCopy: () => ({ [Symbol.dispose]: () => {} }),
    grpc: agentFace,
    maxBodyBytes: mostWorkBytes,
    check({ work }) {
      const reason = work.trouble();
      return { ready: reason === undefined, reasons: reason === undefined ? [] : [reason] };
    },
    describe: ({ work, atOnce, counts }) => ({
      capabilities,
      tasks: work.held(),
      atOnce: atOnce.count(),
      ...counts,
    }),
  });
}

/** @throws ConfigError where only a part of it is said. */
function modelOf(host: HostSettings): Model | undefined {
  const {
    FLOTILLA_AGENT_MODEL_URL: url,
    FLOTILLA_AGENT_MODEL_NAME: model,
    FLOTILLA_AGENT_MODEL_KEY_FILE: keyFile,
  } = host;
  if (url !== undefined && model !== undefined) return { url, name: model, keyFile };
  if (url === undefined && model === undefined && keyFile === undefined) return undefined;
  throw new ConfigError(
    'A model of the agents takes both FLOTILLA_AGENT_MODEL_URL and FLOTILLA_AGENT_MODEL_NAME: set the other one too.',
  );
}

function measure({ work, atOnce, counts }: Agent, metrics: Metrics): void {
  metrics.gauge('flotilla_agent_tasks', 'Tasks of projects that the agent is at.', () => work.held().length);
  metrics.gauge('flotilla_agent_at_once', 'Tasks that it is at for who asked at once.', () => atOnce.count());
  metrics.counter('flotilla_agent_completed_total', 'Tasks that it completed.', () => counts.completed);
  metrics.counter('flotilla_agent_failed_total', 'Attempts that it failed.', () => counts.failed);
  metrics.counter('flotilla_agent_asked_total', 'Tasks that it asked a person about.', () => counts.asked);
  metrics.counter(
    'flotilla_agent_lost_total',
    'Tasks that it lost before they were settled.',
    () => counts.lost,
  );
}
