/** The life of a process: settings, lock, store, listening, and all of it back in reverse order. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { getRequestListener } from '@hono/node-server';

import { AuditTrail } from '../account/audit.ts';
import type { Account } from '../account/calls.ts';
import { obstacleTo, openDataRoot, refuseHalfRestored, takeFolder } from '../data/data-folder.ts';
import { Connections } from '../wire/connections.ts';
import { foreignCheck } from '../wire/foreign.ts';
import { gate, type Admitted, type GateOptions } from '../wire/gate.ts';
import { removeHalfWritten } from '../files.ts';
import { hotPath } from '../wire/hot-path.ts';
import { createApp, Streams } from '../wire/http.ts';
import { grpcWhenSpoken } from '../wire/grpc/when-spoken.ts';
import { Listeners } from '../wire/listening.ts';
import { Loads } from '../wire/loads.ts';
import type { Sockets } from '../wire/sockets.ts';
import { Sessions } from '../wire/sessions.ts';
import { Tasks } from '../wire/tasks.ts';
import { offeringOf } from '../wire/looking.ts';
import { defaultLimits, listen, type Limits } from '../wire/server.ts';
import { createLog, type Log } from '../account/log.ts';
import { vitalSigns, type Check } from '../wire/vital-signs.ts';
import type { Mcp } from '../wire/mcp.ts';
import type { Offer } from '../wire/mcp-handlers.ts';
import { watchLoop } from '../account/loop-watch.ts';
import { createMetrics } from '../account/metrics.ts';
import { offeredNames } from '../account/offered-names.ts';
import { Places } from '../account/places.ts';
import { Snapshots } from '../data/snapshot.ts';
import { openTaskStore } from '../data/task-store.ts';
import { fullness, type Kept } from '../quotas.ts';
import {
  choosable,
  maxBodyBytesOf,
  pathsOf,
  toolsByName,
  toolsOf,
  type AnyService,
  type Readiness,
  type Relay,
} from '../service.ts';
import { parseHostSettings, parseServiceSettings, type Environment } from './settings.ts';
import { allowedEffect } from '../access/scope.ts';
import { AssertionReader } from '../access/assertions.ts';
import { ensureFirstToken, TokenRegistry, type Caller } from '../access/tokens.ts';
import { version } from './version.ts';

const ownFile = fileURLToPath(import.meta.url);
const readinessDeadlineMs = 2_000;

export interface Running {
  readonly port: number;
  /** Whether the health endpoint and the service's check answer, whatever they say: the process is not stuck. */
  answers(): Promise<boolean>;
  /** Stops accepting, lets calls finish, closes the store. */
  stop(): Promise<void>;
}

/** What surrounds a process, where it is not the usual. */
export interface Surroundings {
  /** Takes the log lines, which go to stdout otherwise. */
  readonly writeLog?: (line: string) => void;
  readonly limits?: Partial<Limits>;
  /** `false` sends every request the long way: for the tests that compare the two. */
  readonly hotPath?: boolean;
  /** A socket that systemd listens on, instead of the port. */
  readonly httpFd?: number | undefined;
}

/**
 * Starts a service on 127.0.0.1. Port 0 takes any free one.
 *
 * @throws ConfigError for a setting, folder or permission that a person must mend.
 * @throws UnavailableError for a port or data folder that another process holds.
 */
export async function startService(
  service: AnyService,
  port: number,
  environment: Environment,
  { writeLog, limits: chosenLimits, hotPath: isHot = true, httpFd }: Surroundings = {},
): Promise<Running> {
  const host = parseHostSettings(environment);
  const settings: unknown = parseServiceSettings(service.name, service.settings, environment);
  const log = createLog(service.name, host.FLOTILLA_LOG_LEVEL, writeLog);
  const now = Date.now;
  const dataRoot = openDataRoot(host);
  const dataDir = join(dataRoot, service.name);

  await using stack = new AsyncDisposableStack();
  refuseHalfRestored(dataRoot, service.name);
  stack.use(takeFolder(dataDir));
  removeHalfWritten(dataDir);
  await ensureFirstToken(dataRoot);
  const tokens = new TokenRegistry(dataRoot, {
    unreadable: (error) => log.error('tokens_unreadable', { error }),
  });
  const assertions = new AssertionReader(dataRoot, service.name, tokens);
  const authenticate = (secret: string) =>
    (AssertionReader.isOne(secret) ? assertions : tokens).verify(secret, now());
  /** No process of the fleet is a client, which may sign in. */
  const clientOf = (secret: string) => {
    const caller = authenticate(secret);
    return caller?.only === undefined ? caller : undefined;
  };
  const isAlive = (hash: string) => tokens.isAlive(hash, now());
  const isCurrent = (caller: Caller) => assertions.isCurrent(caller, now());

  const audit = stack.use(
    await AuditTrail.open(join(dataDir, 'audit'), (error) => log.error('audit_not_written', { error }), {
      keepBytes: host.FLOTILLA_AUDIT_KEEP_MB * 1_000_000,
      keepDays: host.FLOTILLA_AUDIT_KEEP_DAYS,
    }),
  );
  const source = { dataDir, secretFiles: service.secretFiles ?? [] };
  const snapshots = stack.use(new Snapshots(source, async () => audit.cut()));
  const metrics = createMetrics(service.name, version);
  const mounted = (await service.mounts?.(settings)) ?? [];
  const tools = [...toolsOf(service, settings), ...mounted];
  const account: Account = {
    service: service.name,
    offeredNames: offeredNames([...(service.tools ?? []), ...mounted], tools),
    audit,
    metrics,
    log,
    places: new Places(),
    now,
    choosable: (tool) => choosable(service, tool),
    allowed: (scope) => (relay ? relay.allowed(scope) : allowedEffect(scope, service.name)),
  };

  let relay: Relay | undefined;
  // Nobody can have subscribed before it is there.
  let mcp: Mcp | undefined;
  const deps: unknown = await service.open({
    settings,
    dataDir,
    host,
    log,
    now,
    authenticate: clientOf,
    isAlive,
    metrics,
    resourceUpdated: (uri) => mcp?.resourceUpdated(uri),
  });
  stack.defer(async () => dispose(deps));

  const sessions = service.sessions ? undefined : stack.use(new Sessions(service.name, now));
  const tasks = tools.some(({ task }) => task)
    ? stack.use(
        new Tasks(openTaskStore(join(dataDir, 'tasks.db'), service.name, now), now, (error) =>
          log.error('task_not_written', { error }),
        ),
      )
    : undefined;
  relay = service.relay?.(deps, account, {
    resourceUpdated: (uri) => mcp?.resourceUpdated(uri),
    listChanged: (list) => mcp?.listChanged(list),
    onCancel: (...asked) => sessions?.onCancel(...asked) ?? (() => {}),
  });
  const offer: Offer = { service, tools, deps, account, tasks, relay };
  mcp = tools.length > 0 || relay ? whenNeeded(offer, sessions) : undefined;
  const streams = stack.use(new Streams(isCurrent, log));

  const toolNames = new Set(tools.map(({ name }) => name));
  const isOurs = (name: string) => toolNames.has(name);
  stack.use(watchLoop({ log, metrics, isOurs, namesSince: () => account.places.namesSince() }));

  let stopping = false;
  const readiness = async (): Promise<readonly Check[]> => {
    if (stopping) return [checked('shutdown', 'stopping')];
    const { ready, reasons, warnings } = await check(service, deps, log);
    const obstacle = await obstacleTo(dataDir, maxBodyBytesOf(service));
    return [
      checked('shutdown', false),
      checked('disk', obstacle),
      checked('audit', audit.failing && 'the audit trail cannot be written'),
      // What is loaded only when it is needed cannot be any more: a release was taken away under the process.
      checked('code', !existsSync(ownFile) && 'its code is gone: restart it'),
      { name: 'service', reasons: ready ? [] : reasons.length > 0 ? reasons : ['it is not ready'], warnings },
    ];
  };
  const isStuck = async () => (await check(service, deps, log)) === unfinished;
  const liveness = async (): Promise<readonly Check[]> => [
    checked('ping', false),
    checked('check', !stopping && (await isStuck()) && 'the readiness check did not finish'),
  ];
  const mcpOffering = offeringOf(service, tools);
  const describe = () => ({
    ...service.describe?.(deps),
    ...(service.kept && keptOf(service.kept(deps))),
    ...(mcpOffering && { mcp: mcpOffering }),
  });
  if (service.kept) metrics.watchKept(() => service.kept?.(deps));
  const foreign = foreignCheck({
    hosts: host.FLOTILLA_ALLOWED_HOSTS,
    origins: host.FLOTILLA_ALLOWED_ORIGINS,
  });
  const listeners = service.listened && new Listeners(service.listened, deps);
  const signs = vitalSigns({ account, version, readiness, liveness, describe });
  const site = {
    account,
    foreign,
    mcp,
    routes: service.routes ?? [],
    deps,
    authenticate,
    signs,
    streams,
    sessions,
    snapshots,
    relay,
    listeners,
  };

  const pages = createApp(site);
  const app = getRequestListener(pages.fetch, { overrideGlobalObjects: false });
  const long = (request: IncomingMessage, response: ServerResponse, admitted: Admitted) =>
    void getRequestListener(async (raw) => pages.fetch(raw, { admitted }), { overrideGlobalObjects: false })(
      request,
      response,
    );
  const limits: Limits = { ...defaultLimits, ...chosenLimits };
  const connections = stack.use(new Connections(limits));
  metrics.gauge(
    'flotilla_calls_waiting',
    'Calls that wait for others of their token.',
    () => account.places.waiting,
  );
  if (tasks) metrics.gauge('flotilla_tasks_working', 'Calls that run as tasks.', () => tasks.working);
  metrics.gauge('flotilla_connections', 'Open connections.', () => connections.count);
  metrics.gauge(
    'flotilla_connections_cut_off',
    'Connections that were ended to make room for others.',
    () => connections.cutOff,
  );
  const hot =
    mcp && isHot
      ? hotPath(
          {
            service,
            account,
            version,
            tools,
            deps,
            mcp,
            sessions,
            listKey: relay && ((exchange) => relay.listKey(exchange)),
          },
          long,
        )
      : long;
  /** Loaded only where a service has something to listen to. */
  async function socketsOf(whom: Listeners): Promise<Sockets> {
    const { openSockets } = await import('../wire/sockets.ts');
    return openSockets({
      account,
      foreign,
      authenticate,
      streams,
      connections,
      tools: toolsByName(tools, service),
      deps,
      maxBodyBytes: maxBodyBytesOf(service),
      listeners: whom,
      resourceUpdated: (uri) => mcp?.resourceUpdated(uri),
      protocolVersion: 'websocket',
      path: pathsOf(whom.listened).socket,
      answers: relay?.answers,
    });
  }
  const relayed = relay;
  const message: GateOptions['message'] = relayed
    ? (request, response, admitted) =>
        relayed.take(request, response, admitted, (instead = admitted) => hot(request, response, instead))
    : hot;
  const loads = new Loads();
  const listener = gate({
    account,
    maxBodyBytes: maxBodyBytesOf(service),
    foreign,
    authenticate,
    isCurrent,
    connections,
    loads,
    sessions,
    signs,
    canary: service.canary,
    message,
    face: faceOf(relay, listeners),
    other: (request, response) => void app(request, response),
  });
  const sockets = listeners && (await socketsOf(listeners));
  const spoken =
    service.grpc &&
    grpcWhenSpoken({
      log,
      metrics,
      idleMs: limits.idleMs,
      grpc: {
        face: service.grpc,
        account,
        deps,
        foreign,
        authenticate,
        isCurrent,
        connections,
        loads,
        streams,
        listeners,
        signs,
        maxBodyBytes: maxBodyBytesOf(service),
        requestMs: limits.requestMs,
        idleMs: limits.idleMs,
        resourceUpdated: (uri) => mcp?.resourceUpdated(uri),
      },
    });
  const server = await listen(listener, { port, fd: httpFd }, service.name, limits, connections, {
    upgrade: sockets && ((...upgraded) => sockets.upgrade(...upgraded)),
    http2: spoken,
  });
  stack.defer(async () => {
    stopping = true;
    await server.drain(async () => {
      service.stopping?.(deps);
      listeners?.end();
      sockets?.stop(limits.drainMs);
      spoken?.end();
      await mcp?.endSubscriptions();
    });
    await mcp?.close();
  });
  log.info('listening', { port: server.port, pid: process.pid, version, dataDir });

  const owned = stack.move();
  return {
    port: server.port,
    async answers() {
      // What it asks is being put away; that the stop ends is for whoever asked for it to see.
      if (stopping) return true;
      const health = await pages.request('/health', { headers: { host: '127.0.0.1' } });
      return health.ok && !(await isStuck());
    },
    async stop() {
      log.info('stopping');
      await owned.disposeAsync();
      log.info('stopped');
    },
  };
}

/** What is listened to below its paths is no request of a face: it stays open. */
function faceOf(relay: Relay | undefined, listeners: Listeners | undefined): GateOptions['face'] {
  if (!relay?.face) return undefined;
  const { face } = relay;
  const kept = listeners && pathsOf(listeners.listened).events;
  return {
    isFor: (path) => path.startsWith(face.under) && path !== kept,
    take: (...request) => face.take(...request),
    turned: (...why) => face.turned(...why),
  };
}

/** The SDK costs memory and time, also where nobody calls: it is loaded with the first request. */
function whenNeeded(offer: Offer, sessions: Sessions | undefined): Mcp {
  let loading: Promise<Mcp> | undefined;
  let mcp: Mcp | undefined;
  const load = async () => {
    try {
      const { createMcp } = await import('../wire/mcp.ts');
      return (mcp = createMcp(offer, version, sessions));
    } catch (error) {
      loading = undefined; // a failure is this request's: the process must still be able to stop
      throw error;
    }
  };
  return {
    listChanged: (list) => mcp?.listChanged(list),
    // Before it is loaded only sessions that a former process began can have asked to be told.
    resourceUpdated: (uri) => {
      if (mcp) mcp.resourceUpdated(uri);
      else sessions?.resourceUpdated(uri);
    },
    fetch: async (...request) => (mcp ?? (await (loading ??= load()))).fetch(...request),
    endSubscriptions: async () => (await loading)?.endSubscriptions(),
    close: async () => (await loading)?.close(),
  };
}

/** In a line of status: how much of its quota the token has used that has used most. */
function keptOf(kept: Kept): Readonly<Record<string, unknown>> {
  const fullest = fullness(kept);
  const bytes = kept.holdings.reduce((sum, holding) => sum + holding.bytes, 0);
  return { kept: { bytes, quota: kept.quota, ...(fullest && { fullest }) } };
}

const unfinished: Readiness = { ready: false, reasons: ['the readiness check did not finish'] };

const checked = (name: string, reason: string | false | undefined): Check => ({
  name,
  reasons: reason === undefined || reason === false ? [] : [reason],
});

/** A check that hangs is an answer too. */
async function check(service: AnyService, deps: unknown, log: Log): Promise<Readiness> {
  if (!service.check) return { ready: true, reasons: [] };
  const late = new Promise<Readiness>((done) => {
    setTimeout(() => done(unfinished), readinessDeadlineMs).unref();
  });
  try {
    return await Promise.race([service.check(deps), late]);
  } catch (error) {
    log.error('check_broke', { error });
    return { ready: false, reasons: ['the readiness check failed; see the log'] };
  }
}

/**
 * Opens a copy of a service's data folder with the service's own code, and closes it again: what a backup is proven by.
 *
 * @throws whatever keeps the store from opening, or an Error that says why it is of no use.
 */
export async function tryCopy(service: AnyService, dataDir: string, environment: Environment): Promise<void> {
  if (service.openCopy) {
    service.openCopy(dataDir)[Symbol.dispose]();
    return;
  }
  const settings: unknown = parseServiceSettings(service.name, service.settings, environment);
  const log = createLog(service.name, 'error', () => {});
  const deps: unknown = await service.open({
    settings,
    dataDir,
    host: parseHostSettings(environment),
    log,
    now: Date.now,
    authenticate: () => undefined,
    isAlive: () => false,
    metrics: createMetrics(service.name, version),
    resourceUpdated: () => {},
  });
  try {
    const { ready, reasons } = await check(service, deps, log);
    if (!ready) throw new Error(reasons.join('; '));
  } finally {
    await dispose(deps);
  }
}

async function dispose(deps: unknown): Promise<void> {
  const { [Symbol.asyncDispose]: later, [Symbol.dispose]: atOnce } = deps as Partial<
    Disposable & AsyncDisposable
  >;
  if (later) await later.call(deps as AsyncDisposable);
  else atOnce?.call(deps as Disposable);
}
