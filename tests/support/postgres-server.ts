/** A PostgreSQL for tests: on a free port of the loopback, in a folder of its own. Nothing of it is synced, which takes most of the time. */
import { chmodSync, mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ended, freePort, startPostgres } from '../../services/supabase/local/postgres.ts';
import { whyNoPair } from '../../services/supabase/local/programs.ts';

/** Why there is none here. */
export const noPostgres: string | undefined = whyNoPair();

export interface PostgresServer extends AsyncDisposable {
  readonly url: string;
  /** As after a crash of it: connections are cut, and the next start recovers what was committed. */
  kill(): Promise<void>;
  /** In the same folder, on the same port. */
  start(): Promise<void>;
}

export const postgresPassword = 'not-to-be-shown';

export async function startServer(): Promise<PostgresServer> {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-postgres-'));
  // To pass through, for the user that it runs as.
  chmodSync(folder.path, 0o711);
  const port = await freePort();
  const start = async () =>
    startPostgres(join(folder.path, 'postgres'), { port, password: postgresPassword, isDurable: false });
  let server = await start();
  return {
    url: `postgresql://postgres:${postgresPassword}@127.0.0.1:${port}/postgres`,
    kill: async () => ended(server.process, 'SIGQUIT'),
    async start() {
      server = await start();
    },
    async [Symbol.asyncDispose]() {
      await server.stop();
      folder.remove();
    },
  };
}
