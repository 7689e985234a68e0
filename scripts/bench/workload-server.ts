/** A service as the fleet runs it, filled as its workload says. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { catalogue, isService } from '#config/catalogue.ts';
import { createToken, firstTokenFile } from '#runtime/access/tokens.ts';
import type { AnyWorkload } from '#runtime/workload.ts';

import { freePortOffset } from '../ports.ts';
import { serveCommand } from '../serve-command.ts';
import { serverCpu, ServerChild } from './child.ts';
import { ask, toolCall } from './requests.ts';

export interface WorkloadServer extends AsyncDisposable {
  readonly name: string;
  readonly workload: AnyWorkload;
  readonly state: unknown;
  readonly pid: number;
  readonly url: string;
  readonly token: string;
  /** Of somebody else, who may do the same. */
  readonly otherToken: string;
  /** What the calls of the other one have to know. */
  readonly otherState: unknown;
}

/** Services that say what is asked of them, by name: those that are named, or all. One that cannot be measured here is named, and left out. */
export async function workloads(names?: readonly string[]): Promise<ReadonlyMap<string, AnyWorkload>> {
  const chosen = catalogue.filter(isService).filter(({ name }) => names?.includes(name) ?? true);
  const all = await Promise.all(chosen.map(async ({ name }) => [name, await workloadOf(name)] as const));
  for (const [name, { missing }] of all) {
    if (missing !== undefined) process.stderr.write(`${name} is not measured: ${missing}\n`);
  }
  return new Map(all.filter(([, { missing }]) => missing === undefined));
}

export async function workloadOf(name: string): Promise<AnyWorkload> {
  const { workload } = (await import(`../../services/${name}/bench.ts`)) as { workload: AnyWorkload };
  return workload;
}

export async function startWorkload(
  name: string,
  workload: AnyWorkload,
  parent: string,
  { isPinned = true } = {},
): Promise<WorkloadServer> {
  const folder = join(parent, name, 'files');
  const data = join(parent, name, 'data');
  for (const path of [folder, data]) mkdirSync(path, { recursive: true });
  const settings = {
    ...(await workload.settings?.(folder)),
    FLOTILLA_DATA: data,
    FLOTILLA_PORT_OFFSET: String(await freePortOffset()),
  };
  await using stack = new AsyncDisposableStack();
  const server = stack.use(
    new ServerChild(serveCommand(name), {
      settings,
      ...(isPinned && { cpu: serverCpu }),
      logFile: join(parent, `${name}.log`),
    }),
  );
  const url = await server.listening();
  const token = readFileSync(firstTokenFile(data), 'utf8').trim();
  const otherToken = await createToken(data, { name: 'other', scope: ['*'], expiresAt: null });
  const seedAs = async (caller: string): Promise<unknown> =>
    workload.seed({
      folder,
      async call(tool, args) {
        const { result, error } = await ask(url, toolCall(caller, tool, args));
        if (error || result?.['isError'] === true)
          throw new Error(`${tool}: ${JSON.stringify(result ?? error)}`);
        return result?.['structuredContent'] as Readonly<Record<string, unknown>>;
      },
    });
  const state = await seedAs(token);
  const otherState = workload.isOwned ? await seedAs(otherToken) : state;
  const owned = stack.move();
  return {
    name,
    workload,
    state,
    pid: server.pid,
    url,
    token,
    otherToken,
    otherState,
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
}
