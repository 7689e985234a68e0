/** Opens databases as another user would: prints what each gives, and why it takes no change. */
import { Connections } from './engine/connections.ts';
import { runOnly } from './engine/statements.ts';

const [root = '', ...files] = process.argv.slice(2);
const connections = new Connections({ roots: [root], isReadOnly: false, maxBytes: 1e9, busyMs: 100 });
const found = files.map((path) => {
  const rows = connections.open({ path, isDefault: false }, 'read').database.prepare('SELECT a FROM t').all();
  let refusal = 'none';
  try {
    const open = connections.open({ path, isDefault: false }, 'write');
    runOnly(open, { sql: 'INSERT INTO t VALUES (2)' }, 'write', { rows: 1, skip: 0, bytes: 1_000 });
  } catch (error) {
    refusal = String(error);
  }
  return [
    JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    refusal,
  ];
});
process.stdout.write(JSON.stringify(found));
