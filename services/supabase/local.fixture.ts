/** Postgres and PostgREST for the tests of one file: real ones, in a folder that goes with them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Pair } from './local/pair.ts';
import { whyNoPair } from './local/programs.ts';

const program = fileURLToPath(new URL('../../scripts/flotilla.ts', import.meta.url));

export type LocalPair = Omit<Pair, 'fallen'>;

/** Why the tests that need them cannot run here; `undefined` where they can. */
export const whyNoLocalPair: string | undefined = whyNoPair();

/** A process of its own, which ends with this one, however that ends. */
export async function localPair(): Promise<LocalPair> {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-supabase-'));
  const child = spawn(
    process.execPath,
    [program, 'supabase', 'local', '--dir', folder, '--port', '0', '--json', '--throwaway'],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  const gone = once(child, 'exit');
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const facts = Promise.withResolvers<string>();
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    if (said.includes('\n')) facts.resolve(said);
  });
  void gone.then(() => facts.reject(new Error(`The pair did not start: ${complaint}`)));
  const close = async () => {
    child.ref();
    child.stdin.end();
    await gone;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const { url, anonKey, serviceKey, readerUrl, ownerUrl } = JSON.parse(await facts.promise) as LocalPair;
    // Whoever does not end it is not kept from ending by it.
    child.unref();
    for (const stream of [child.stdin, child.stdout, child.stderr]) (stream as unknown as Socket).unref();
    return { url, anonKey, serviceKey, readerUrl, ownerUrl, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
