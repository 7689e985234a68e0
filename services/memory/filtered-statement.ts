import type { Database, Statement } from '#runtime/database.ts';

/**
 * A statement with those conditions alone that are asked for, so that an index can answer it. Each combination is
 * prepared once.
 */
export function filteredStatement<Row, Name extends string>(
  database: Database,
  conditions: Readonly<Record<Name, string>>,
  sql: (where: string) => string,
): (filter: { readonly [Field in Name]?: unknown }) => Statement<Row> {
  const prepared = new Map<string, Statement<Row>>();
  return (filter) => {
    const where = Object.entries<string>(conditions)
      .filter(([name]) => filter[name as Name] !== undefined)
      .map(([, condition]) => `AND ${condition}`)
      .join(' ');
    const statement = prepared.get(where) ?? database.prepare<unknown[], Row>(sql(where));
    prepared.set(where, statement);
    return statement;
  };
}
