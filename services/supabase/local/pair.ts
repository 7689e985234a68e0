/** Postgres, PostgREST and what joins them, in a folder: a small Supabase for trying things out, and for the tests. */
import { spawn } from 'node:child_process';
import { chmodSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { UnavailableError } from '#runtime/errors.ts';
import { makeFolder } from '#runtime/files.ts';
import { endingWithUs } from '#runtime/sandbox.ts';

import { inOneGo } from '../sql/pool.ts';
import { keptSecrets, keyFor, type Secrets } from './keys.ts';
import { ended, freePort, startPostgres } from './postgres.ts';
import { postgrestProgram } from './programs.ts';
import { startProxy } from './proxy.ts';

export interface Pair extends AsyncDisposable {
  readonly url: string;
  readonly anonKey: string;
  readonly serviceKey: string;
  /** For a role that may read all tables, and nothing else. */
  readonly readerUrl: string;
  /** For the superuser. */
  readonly ownerUrl: string;
  /** Settles when a part falls over, with its name. */
  readonly fallen: Promise<string>;
}

interface PairOptions {
  /** Of the URL; the database gets the next one. 0 takes free ones. */
  readonly port: number;
  readonly isDurable: boolean;
}

export async function startPair(folder: string, { port, isDurable }: PairOptions): Promise<Pair> {
  try {
    makeFolder(folder, 0o755);
    // To pass through, for the user that Postgres runs as.
    chmodSync(folder, 0o711);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UnavailableError(`${folder} cannot be made or used (${code}): choose another folder.`, {
      cause: error,
    });
  }
  const secrets = keptSecrets(join(folder, 'secrets.json'));
  const databasePort = port === 0 ? await freePort() : port + 1;
  const restPort = await freePort();
  const adminPort = await freePort();
  await using stack = new AsyncDisposableStack();

  const postgres = await startPostgres(join(folder, 'postgres'), {
    port: databasePort,
    password: secrets.ownerPassword,
    isDurable,
  });
  stack.defer(async () => postgres.stop());
  const urlFor = (role: string, password: string) =>
    `postgresql://${role}:${password}@127.0.0.1:${databasePort}/postgres`;
  const ownerUrl = urlFor('postgres', secrets.ownerPassword);
  await inOneGo(ownerUrl, rolesSql(secrets));

  const [program, ...args] = [...endingWithUs('TERM'), postgrestProgram()];
  const rest = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: {
      PGRST_DB_URI: urlFor('authenticator', secrets.authenticatorPassword),
      PGRST_DB_SCHEMAS: 'public',
      PGRST_DB_ANON_ROLE: 'anon',
      PGRST_DB_POOL: '5',
      PGRST_JWT_SECRET: secrets.jwtSecret,
      PGRST_SERVER_HOST: '127.0.0.1',
      PGRST_SERVER_PORT: String(restPort),
      PGRST_ADMIN_SERVER_PORT: String(adminPort),
    },
  });
  stack.defer(async () => ended(rest, 'SIGTERM'));
  const isGone = () => rest.exitCode !== null || rest.signalCode !== null;
  await isReady(`http://127.0.0.1:${adminPort}/ready`, isGone);

  const proxy = await startProxy(port, restPort);
  stack.defer(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  const owned = stack.move();
  const nowMs = Date.now();
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    anonKey: keyFor('anon', secrets, nowMs),
    serviceKey: keyFor('service_role', secrets, nowMs),
    readerUrl: urlFor('flotilla_reader', secrets.readerPassword),
    ownerUrl,
    fallen: Promise.race([
      once(postgres.process, 'exit').then(() => 'Postgres'),
      once(rest, 'exit').then(() => 'PostgREST'),
    ]),
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
}

/**
 * The roles that a project of Supabase has, and one that only reads. Run at each start: what is there stays.
 * pg_read_all_data would have the passwords of all roles, as Postgres keeps them, among what it reads.
 */
const rolesSql = ({ authenticatorPassword, readerPassword }: Secrets) => `
DO $$
DECLARE wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated', 'service_role', 'authenticator', 'flotilla_reader'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
    END IF;
  END LOOP;
END $$;
ALTER ROLE service_role BYPASSRLS;
ALTER ROLE authenticator LOGIN NOINHERIT PASSWORD '${authenticatorPassword}';
ALTER ROLE flotilla_reader LOGIN PASSWORD '${readerPassword}';
ALTER ROLE flotilla_reader SET default_transaction_read_only = on;
GRANT anon, authenticated, service_role TO authenticator;
REVOKE pg_read_all_data FROM flotilla_reader;
DO $$
DECLARE wanted text;
BEGIN
  FOR wanted IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %1$I TO flotilla_reader; GRANT SELECT ON ALL TABLES IN SCHEMA %1$I TO flotilla_reader', wanted);
  END LOOP;
END $$;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO flotilla_reader;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO flotilla_reader;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
CREATE SCHEMA IF NOT EXISTS flotilla_local;
CREATE OR REPLACE FUNCTION flotilla_local.reload() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN NOTIFY pgrst, 'reload schema'; END $$;
DROP EVENT TRIGGER IF EXISTS flotilla_reload;
CREATE EVENT TRIGGER flotilla_reload ON ddl_command_end EXECUTE FUNCTION flotilla_local.reload();
`;

async function isReady(url: string, isGone: () => boolean): Promise<void> {
  for (;;) {
    if (isGone()) throw new UnavailableError('PostgREST does not start.');
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(25);
  }
}
