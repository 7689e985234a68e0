/** Measures rungs of the ladder beside each other: all run, one at a time is under load. */
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ensureFirstToken, firstTokenFile } from '#runtime/access/tokens.ts';

import { serverCpu, ServerChild } from './child.ts';
import { ask } from './requests.ts';
import { questions, type Question, type Rung } from './rungs.ts';
import { median } from './statistics.ts';
import { sendTraffic, type Traffic } from './traffic.ts';

export const connections = 16;

export interface Pace {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

export interface Measured {
  readonly rung: Rung;
  readonly rounds: readonly Traffic[];
}

/** The median over the rounds of how many times faster one rung was than the other in the same round. */
export function medianRatio(measured: readonly Measured[], name: string, base: string): number {
  const roundsOf = (wanted: string) => measured.find(({ rung }) => rung.name === wanted)?.rounds ?? [];
  const bases = roundsOf(base);
  return median(
    roundsOf(name).map(({ callsPerSecond }, round) => callsPerSecond / (bases[round]?.callsPerSecond ?? 0)),
  );
}

export async function climb(
  climbed: readonly Rung[],
  { rounds, seconds, warmUpSeconds }: Pace,
  progress: (line: string) => void,
): Promise<readonly Measured[]> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-ladder-'));
  await ensureFirstToken(folder.path);
  const token = readFileSync(firstTokenFile(folder.path), 'utf8').trim();
  await using servers = new AsyncDisposableStack();
  const urls = new Map<string, string>();
  for (const script of new Set(climbed.map((rung) => rung.script))) {
    const server = new ServerChild(
      [process.execPath, fileURLToPath(new URL(`rungs/${script}`, import.meta.url))],
      {
        settings: { FLOTILLA_DATA: folder.path },
        cpu: serverCpu,
        logFile: join(folder.path, `${script}.log`),
      },
    );
    servers.use(server);
    urls.set(script, await server.listening());
  }

  const results = new Map<Rung, Traffic[]>(climbed.map((rung) => [rung, []]));
  for (let round = 0; round <= rounds; round++) {
    // Every other round goes down: what drifts during a round must not favour the same rung each time.
    for (const rung of round % 2 === 0 ? climbed : climbed.toReversed()) {
      const { request, isRight, mustSay }: Question = questions[rung.question];
      const url = urls.get(rung.script) ?? '';
      const prove = async () => {
        const answer = await ask(url, request(token));
        if (!isRight(answer)) throw new Error(`${rung.title} answered ${JSON.stringify(answer)}`);
      };
      await prove();
      const traffic = await sendTraffic({
        url,
        connections,
        seconds: round === 0 ? warmUpSeconds : seconds,
        requests: [request(token)],
        mustSay,
      });
      await prove();
      // Round 0 warms up, and is not counted.
      if (round > 0) results.get(rung)?.push(traffic);
      progress(
        `ladder: ${round === 0 ? 'warm-up' : `round ${round} of ${rounds}`}, ${rung.title}: ${Math.round(traffic.callsPerSecond)} calls/s`,
      );
    }
  }
  return [...results].map(([rung, measured]) => ({ rung, rounds: measured }));
}
