/** Loaded before a process that is meant to lose writes: SQLite then acknowledges what no disk has seen. */
import Sqlite from 'better-sqlite3';

// oxlint-disable-next-line typescript/unbound-method -- it is called on the database below
const { pragma } = Sqlite.prototype;

Sqlite.prototype.pragma = function pragmaWithoutSync(source, options) {
  return pragma.call(this, source.replace('synchronous = FULL', 'synchronous = OFF'), options);
};
