/** A gateway with services behind it, in one data folder, on free ports. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { entryOf } from '#config/catalogue.ts';
import { firstTokenFile } from '#runtime/access/tokens.ts';
import { startService, type Running, type Surroundings } from '#runtime/process/run.ts';
import type { AnyService } from '#runtime/service.ts';

import { temporaryFolder, type Served } from './serve.ts';
import { createGateway } from '../../gateway/service.ts';
import type { UpstreamOptions } from '../../gateway/upstream.ts';

export interface Fronted extends AsyncDisposable {
  /** The gateway, with a token that may use everything. */
  readonly gateway: Served;
  /** Each service itself, with the same token. */
  readonly direct: Readonly<Record<string, Served>>;
  /** Stops the service, or the gateway, and starts it on the same port. */
  restart(name: string): Promise<void>;
}

interface Options {
  /** With `FLOTILLA_PORT_OFFSET`, services find each other at the ports of the catalogue. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Further ones, which the test runs itself. */
  readonly others?: readonly UpstreamOptions[];
  readonly surroundings?: Surroundings;
}

export async function serveBehind(
  services: readonly AnyService[],
  { settings = {}, others = [], surroundings = {} }: Options = {},
): Promise<Fronted> {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(temporaryFolder());
  const environment = { FLOTILLA_DATA: folder.path, FLOTILLA_LOG_LEVEL: 'error', ...settings };
  const now = new Map<string, Running>();
  const { FLOTILLA_PORT_OFFSET: offset } = settings;
  const start = async (service: AnyService): Promise<Served> => {
    const port = offset === undefined ? 0 : (entryOf(service.name)?.port ?? 0) + Number(offset);
    const running: Running = await startService(service, port, environment, surroundings);
    now.set(service.name, running);
    let stopping: Promise<void> | undefined;
    const stop = async () => (stopping ??= now.get(service.name)?.stop());
    return {
      url: `http://127.0.0.1:${running.port}`,
      token: readFileSync(firstTokenFile(folder.path), 'utf8').trim(),
      dataRoot: folder.path,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  };
  const direct: Record<string, Served> = {};
  const behind: UpstreamOptions[] = [];
  for (const service of services) {
    // oxlint-disable-next-line no-await-in-loop -- the first one makes the folder
    const served = stack.use(await start(service));
    direct[service.name] = served;
    const sessions = service.sessions && { keepsSessions: true as const };
    behind.push({ name: service.name, description: `Is ${service.name}.`, origin: served.url, ...sessions });
  }
  const front = createGateway(() => [...behind, ...others]);
  const gateway = stack.use(await start(front));
  await isThere(gateway.url, services.length);
  const owned = stack.move();
  const restart = async (name: string) => {
    const service = [...services, front].find((one) => one.name === name);
    const running = now.get(name);
    if (!service || !running) throw new TypeError(`${name} does not run.`);
    await running.stop();
    now.set(name, await startService(service, running.port, environment, surroundings));
    if (service === front) await isThere(gateway.url, services.length);
  };
  return { gateway, direct, restart, [Symbol.asyncDispose]: async () => owned.disposeAsync() };
}

/** The gateway has seen so many services: until then their tools are unknown to it. */
async function isThere(url: string, count: number): Promise<void> {
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- until they are
    const { upstreams } = (await (await fetch(`${url}/health`)).json()) as { upstreams: { tools: number }[] };
    if (upstreams.filter(({ tools }) => tools > 0).length >= count) return;
    // oxlint-disable-next-line no-await-in-loop -- likewise
    await sleep(20);
  }
}
