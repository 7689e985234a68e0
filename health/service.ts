import { join, resolve } from 'node:path';

import { z } from 'zod';

import { catalogue, type CatalogueEntry } from '#config/catalogue.ts';
import { backupFolder } from '#runtime/data/backup-folder.ts';

import { readBreaks } from '#runtime/account/audit-breaks.ts';
import { metricsType } from '#runtime/account/metrics.ts';
import { defineService, type Opening } from '#runtime/service.ts';

import { Anchors } from './anchors.ts';
import { backupMetrics, lookAtBackups, type BackupReport } from './backups.ts';
import { History } from './history.ts';
import { Poller } from './poller.ts';
import { AlertStore, alertsFile } from './slo/alert-store.ts';
import { hostSurroundings } from './slo/evidence.ts';
import { Ledger, ledgerFile } from './slo/ledger.ts';
import { sloRoutes, watchMetrics } from './slo/routes.ts';
import { alertSettings, webhooksOf } from './slo/settings.ts';
import { Watch } from './slo/watch.ts';

const names = catalogue.map((entry) => entry.name);

const settings = z.object({
  FLOTILLA_HEALTH_GRACE_SECONDS: z.coerce
    .number()
    .min(0)
    .max(600)
    .default(5)
    .describe('How long after the start of health a process that was never seen may still be coming up.'),
  FLOTILLA_HEALTH_EXPECT: z
    .string()
    .transform((list) => list.split(',').map((name) => name.trim()))
    .pipe(z.array(z.enum(names)))
    .optional()
    .describe(
      'Names of the processes that are meant to run, with commas between; all of the catalogue unless set.',
    ),
  ...alertSettings,
});

const historyQuery = z.strictObject({
  name: z.enum(names),
  sinceMs: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(1_000).default(300),
});

interface Health extends AsyncDisposable, Pick<Opening<unknown>, 'metrics'> {
  readonly entries: readonly CatalogueEntry[];
  readonly poller: Poller;
  readonly history: History;
  readonly anchors: Anchors;
  readonly backups: () => BackupReport | null;
  readonly watch: Watch;
  readonly now: () => number;
}

export default defineService({
  name: 'health',
  settings,

  open({ settings, dataDir, host, log, now, metrics }): Health {
    const expected: readonly string[] = settings.FLOTILLA_HEALTH_EXPECT ?? names;
    const entries = catalogue.map((entry) => ({ ...entry, port: entry.port + host.FLOTILLA_PORT_OFFSET }));
    const targets = entries.map(({ name, port }) => ({ name, port, expected: expected.includes(name) }));
    const history = new History(join(dataDir, 'history.db'));
    const anchors = new Anchors(dataDir, () => readBreaks(resolve(host.FLOTILLA_DATA)));
    const poller = new Poller({
      targets,
      self: 'health',
      history,
      anchors,
      log,
      now,
      graceMs: settings.FLOTILLA_HEALTH_GRACE_SECONDS * 1_000,
    });
    const isDue = host.FLOTILLA_BACKUP_TIME !== 'off';
    const backups = () => lookAtBackups(backupFolder(host), isDue, now());
    const watch = new Watch({
      dataDir,
      dataRoot: resolve(host.FLOTILLA_DATA),
      entries: entries.filter(({ name }) => expected.includes(name)),
      counted: { polls: (name, fromMs, toMs) => history.counts(name, fromMs, toMs) },
      stateOf: (name) => poller.state(name),
      backupTroubles: () => backups()?.troubles ?? [],
      auditTroubles: () => anchors.troubles,
      webhooks: webhooksOf(settings),
      remindMs: settings.FLOTILLA_HEALTH_REMIND_MINUTES * 60_000,
      surroundings: hostSurroundings(resolve(host.FLOTILLA_DATA)),
      log,
      now,
      isUnit: process.env['INVOCATION_ID'] !== undefined,
    });
    return {
      entries,
      poller,
      history,
      anchors,
      metrics,
      backups,
      watch,
      now,
      async [Symbol.asyncDispose]() {
        await watch[Symbol.asyncDispose]();
        await poller[Symbol.asyncDispose]();
        history[Symbol.dispose]();
        anchors[Symbol.dispose]();
      },
    };
  },

  openCopy(dataDir) {
    const copies = new DisposableStack();
    copies.use(new History(join(dataDir, 'history.db')));
    copies.use(new Anchors(dataDir, () => []));
    copies.use(new Ledger(ledgerFile(dataDir)));
    copies.use(new AlertStore(alertsFile(dataDir), { info() {}, error() {} }));
    return copies;
  },

  check({ poller, anchors, backups, watch }) {
    const warnings = [...(backups()?.troubles ?? []), ...anchors.troubles, ...watch.fileTroubles];
    return { ...poller.readiness(), ...(warnings.length > 0 && { warnings }) };
  },

  describe: ({ entries, poller, backups }) => ({
    polledAt: poller.polledAt,
    backup: backups(),
    processes: entries.map(({ name, port, tier }) => ({ port, tier, ...poller.state(name) })),
  }),

  routes: [
    {
      path: '/metrics',
      access: 'open',
      async handle(_request, { metrics, backups, watch, now }) {
        const text = (await metrics.text()) + backupMetrics(backups()) + watchMetrics({ watch, now });
        return new Response(text, { headers: { 'content-type': metricsType } });
      },
    },
    {
      path: '/history',
      access: 'token',
      handle(request, { history }) {
        const query = historyQuery.safeParse(Object.fromEntries(new URL(request.url).searchParams));
        if (!query.success) {
          const error = query.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
          return Response.json({ error: error.join('; ') }, { status: 400 });
        }
        const { name, sinceMs, limit } = query.data;
        const samples = history.samples(name, sinceMs, limit);
        return Response.json({ name, samples, truncated: samples.length === limit });
      },
    },
    ...sloRoutes<Health>(),
  ],
});
