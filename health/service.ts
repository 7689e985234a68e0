import { join, resolve } from 'node:path';

import { z } from 'zod';

import { allProcesses, catalogue, isService, offersTools, type CatalogueEntry } from '#config/catalogue.ts';
import { backupFolder } from '#runtime/data/backup-folder.ts';

import { Assertions, signingKey, signingKeyFile } from '#runtime/access/assertions.ts';
import { metricsType } from '#runtime/account/metrics.ts';
import { isJournal } from '#runtime/process/systemd.ts';
import { version } from '#runtime/process/version.ts';
import { defineService, type Opening } from '#runtime/service.ts';

import { Anchors } from './anchors.ts';
import { backupMetrics, keptFor, lookAtBackups, type BackupReport } from './backups.ts';
import { Calls } from './calls/calls.ts';
import { scrape } from './calls/scrape.ts';
import { CallStore } from './calls/store.ts';
import { Canaries } from './canary.ts';
import { fleetMetrics, watching } from './figures.ts';
import { History } from './history.ts';
import { Keeper } from './keeper.ts';
import { LogLines } from './log-lines.ts';
import { Overviews } from './overview.ts';
import { Poller } from './poller.ts';
import { AlertStore, alertsFile } from './slo/alert-store.ts';
import { hostSurroundings } from './slo/evidence.ts';
import { Ledger, ledgerFile } from './slo/ledger.ts';
import { sloRoutes, watchMetrics } from './slo/routes.ts';
import { alertSettings, webhooksOf } from './slo/settings.ts';
import { Watch } from './slo/watch.ts';
import { Timeline } from './timeline.ts';

const names = allProcesses.map((entry) => entry.name);
/** Agents run where somebody asks for them. */
const usual: readonly string[] = catalogue.map((entry) => entry.name);

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
      'Names of the processes that are meant to run, with commas between; all but the agents unless set.',
    ),
  ...alertSettings,
});

const self = 'health';
const historyName = 'history.db';
const callsName = 'calls.db';
const intervalMs = 1_000;

const historyQuery = z.strictObject({
  name: z.enum(names),
  sinceMs: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(1_000).default(300),
});

const overviewQuery = z.strictObject({ process: z.enum(names).optional() });

interface Health extends AsyncDisposable, Pick<Opening<unknown>, 'metrics'> {
  readonly entries: readonly CatalogueEntry[];
  readonly poller: Poller;
  readonly history: History;
  readonly keeper: Keeper;
  readonly timeline: Timeline;
  readonly calls: Calls;
  readonly overviews: Overviews;
  readonly backups: () => BackupReport | null;
  readonly watch: Watch;
  readonly now: () => number;
}

/** Whoever asks /health waits for no disk that is slow: one look at the state of the backups is enough for so long. */
const backupsLookMs = 1_000;

export default defineService({
  name: self,
  settings,
  secretFiles: [signingKeyFile],

  open({ settings, dataDir, host, log, now, metrics }): Health {
    const expected: readonly string[] = settings.FLOTILLA_HEALTH_EXPECT ?? usual;
    const entries: readonly CatalogueEntry[] = allProcesses.map((entry) => ({
      ...entry,
      port: entry.port + host.FLOTILLA_PORT_OFFSET,
    }));
    const targets = entries.map(({ name, port }) => ({ name, port, expected: expected.includes(name) }));
    const timeline = new Timeline(now);
    const historyFile = join(dataDir, historyName);
    const history = new History(historyFile, { self });
    // Whether it can be read is found at the start, and by this process: the thread opens what is well.
    new Anchors(dataDir, () => [])[Symbol.dispose]();
    const dataRoot = resolve(host.FLOTILLA_DATA);
    const pollsPerMinute = 60_000 / intervalMs;
    const keeper = new Keeper({ historyFile, dataDir, dataRoot, self, pollsPerMinute }, log);
    const assertions = new Assertions(self, signingKey(dataDir));
    const watcher = watching(metrics);
    const canaries = new Canaries({
      targets: entries
        .filter((entry) => offersTools(entry))
        .map((entry) => ({ name: entry.name, port: entry.port, isFront: !isService(entry) })),
      secretFor: (name) => assertions.ofSelf('read', name, now()),
      log,
      elapsedMs: timeline.elapsedMs,
      looked: watcher.looked,
    });
    const poller = new Poller({
      targets,
      self,
      keeper,
      history,
      canaries,
      log,
      timeline,
      watcher,
      intervalMs,
      graceMs: settings.FLOTILLA_HEALTH_GRACE_SECONDS * 1_000,
    });
    const calls = new Calls({ targets, file: join(dataDir, callsName), read: scrape, log, now });
    const isDue = host.FLOTILLA_BACKUP_TIME !== 'off';
    const backups = keptFor(backupsLookMs, timeline.elapsedMs, () =>
      lookAtBackups(backupFolder(host), isDue, now()),
    );
    const watch = new Watch({
      dataDir,
      dataRoot,
      entries: entries.filter(({ name }) => expected.includes(name)),
      counted: {
        polls: (name, fromMs, toMs) => history.counts(name, fromMs, toMs),
        calls: (name, fromMs, toMs, seconds) => calls.within(name, fromMs, toMs, seconds),
      },
      stateOf: (name) => poller.state(name),
      backupTroubles: () => backups()?.troubles ?? [],
      auditTroubles: () => keeper.troubles,
      webhooks: webhooksOf(settings),
      remindMs: settings.FLOTILLA_HEALTH_REMIND_MINUTES * 60_000,
      surroundings: hostSurroundings(dataRoot),
      log,
      now,
      isUnit: isJournal(1),
    });
    const logLines = new LogLines(dataRoot, now);
    const overviews = new Overviews({
      entries,
      state: (name) => poller.state(name),
      polledAt: () => poller.polledAt,
      past: history,
      calls,
      lines: (name) => logLines.of(name),
      linesSettled: async (name) => logLines.settled(name),
      backups,
      warnings: () => [...keeper.troubles, ...calls.troubles, ...watch.fileTroubles],
      objectives: () => watch.reports(),
      alerts: () => watch.alerts.open(),
      version,
      now,
    });
    return {
      entries,
      poller,
      history,
      keeper,
      timeline,
      calls,
      overviews,
      metrics,
      backups,
      watch,
      now,
      async [Symbol.asyncDispose]() {
        await watch[Symbol.asyncDispose]();
        await poller[Symbol.asyncDispose]();
        await canaries[Symbol.asyncDispose]();
        await keeper[Symbol.asyncDispose]();
        await calls[Symbol.asyncDispose]();
        history[Symbol.dispose]();
      },
    };
  },

  openCopy(dataDir) {
    const copies = new DisposableStack();
    copies.use(new History(join(dataDir, historyName)));
    copies.use(new CallStore(join(dataDir, callsName)));
    copies.use(new Anchors(dataDir, () => []));
    copies.use(new Ledger(ledgerFile(dataDir)));
    copies.use(new AlertStore(alertsFile(dataDir), { info() {}, error() {} }));
    return copies;
  },

  check({ poller, keeper, calls, backups, watch }) {
    const { ready, reasons, warnings = [] } = poller.readiness();
    const all = [
      ...warnings,
      ...(backups()?.troubles ?? []),
      ...keeper.troubles,
      ...calls.troubles,
      ...watch.fileTroubles,
    ];
    return { ready, reasons, ...(all.length > 0 && { warnings: all }) };
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
      async handle(_request, health) {
        const text =
          (await health.metrics.text()) +
          backupMetrics(health.backups()) +
          fleetMetrics(health) +
          watchMetrics(health);
        return new Response(text, { headers: { 'content-type': metricsType } });
      },
    },
    {
      path: '/overview',
      access: 'token',
      async handle(request, { overviews }) {
        const query = queryOf(request, overviewQuery);
        if (!query.success) return badQuery(query.error);
        const { text, etag } = await overviews.document(query.data.process);
        const headers = { etag, 'cache-control': 'no-store', 'content-type': 'application/json' };
        const isKnown = request.headers.get('if-none-match') === etag;
        return isKnown ? new Response(null, { status: 304, headers }) : new Response(text, { headers });
      },
    },
    {
      path: '/history',
      access: 'token',
      handle(request, { history }) {
        const query = queryOf(request, historyQuery);
        if (!query.success) return badQuery(query.error);
        const { name, sinceMs, limit } = query.data;
        const samples = history.samples(name, sinceMs, limit);
        return Response.json({ name, samples, truncated: samples.length === limit });
      },
    },
    ...sloRoutes<Health>(),
  ],
});

function queryOf<Schema extends z.ZodType>(request: Request, schema: Schema) {
  return schema.safeParse(Object.fromEntries(new URL(request.url).searchParams));
}

function badQuery({ issues }: z.ZodError): Response {
  const error = issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  return Response.json({ error: error.join('; ') }, { status: 400 });
}
