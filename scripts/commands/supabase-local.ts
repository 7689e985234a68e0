/** `flotilla supabase local`: Postgres and PostgREST in a folder, until Ctrl-C, to try the service with. */
import { resolve } from 'node:path';

import { UnavailableError, UsageError } from '#runtime/errors.ts';

import { startPair, type Pair } from '../../services/supabase/local/pair.ts';
import { whyNoPair } from '../../services/supabase/local/programs.ts';
import { interruptions } from '../bench/child.ts';

interface LocalOptions {
  readonly dir: string;
  readonly port: number;
  readonly json?: true;
  /** For tests: nothing is synced, and the end of standard input is the end. */
  readonly throwaway?: true;
}

export async function supabaseLocal({ dir, port, json, throwaway }: LocalOptions): Promise<void> {
  const obstacle = whyNoPair();
  if (obstacle !== undefined) throw new UsageError(obstacle);
  const stopped = Promise.withResolvers<undefined>();
  const stop = () => stopped.resolve(undefined);
  for (const signal of interruptions) process.on(signal, stop);
  if (throwaway) process.stdin.once('close', stop).resume();
  try {
    await using pair = await startPair(resolve(dir), { port, isDurable: !throwaway });
    const { fallen, [Symbol.asyncDispose]: _close, ...facts } = pair;
    process.stdout.write(json ? `${JSON.stringify(facts)}\n` : told(pair, resolve(dir)));
    const part = await Promise.race([fallen, stopped.promise]);
    if (part !== undefined) throw new UnavailableError(`${part} has ended by itself.`);
  } finally {
    // Whoever holds the other end may hold it on.
    process.stdin.destroy();
  }
  if (!json) process.stdout.write('\nStopped. The data stays.\n');
}

const told = ({ url, anonKey, serviceKey, readerUrl, ownerUrl }: Pair, folder: string) => `\
Postgres and PostgREST run, with their data in ${folder}.
Set these for the fleet, then start it:

FLOTILLA_SUPABASE_URL=${url}
FLOTILLA_SUPABASE_KEY=${anonKey}
FLOTILLA_SUPABASE_DATABASE_URL=${readerUrl}

To allow changes, in place of the last two:

FLOTILLA_SUPABASE_MODE=write
FLOTILLA_SUPABASE_KEY=${serviceKey}
FLOTILLA_SUPABASE_DATABASE_URL=${ownerUrl}

Stop   Ctrl-C
`;
