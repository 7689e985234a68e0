/**
 * Loaded before a process that is meant to lose writes: SQLite then acknowledges what no disk has seen. Also before the engines that
 * such a process starts.
 */
import childProcess from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';
import { DatabaseSync } from 'node:sqlite';

import Sqlite from 'better-sqlite3';

const withoutSync = (sql: string) => sql.replace(/synchronous = (FULL|EXTRA)/, 'synchronous = OFF');

// oxlint-disable-next-line typescript/unbound-method -- it is called on the database below
const { pragma } = Sqlite.prototype;
Sqlite.prototype.pragma = function pragmaWithoutSync(source, options) {
  return pragma.call(this, withoutSync(source), options);
};

// oxlint-disable-next-line typescript/unbound-method -- it is called on the database below
const { exec } = DatabaseSync.prototype;
DatabaseSync.prototype.exec = function execWithoutSync(sql) {
  exec.call(this, withoutSync(sql));
};

const { spawn } = childProcess;
childProcess.spawn = ((file: string, args: readonly string[], options: object) => {
  const program = args.findIndex((one) => one.endsWith('/engine/engine.ts'));
  const own = program < 0 ? args : args.toSpliced(program, 0, '--import', import.meta.url);
  return spawn(file, own, options);
}) as typeof spawn;
syncBuiltinESMExports();
