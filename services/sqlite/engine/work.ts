/** All that an engine can be asked for, by name. */
import type { Desk } from './desk.ts';
import * as imports from './imports.ts';
import * as objects from './objects.ts';
import * as queries from './queries.ts';
import * as transfers from './transfers.ts';

const { ftsSql: _ftsSql, ...told } = objects;

export const work = { ...queries, ...told, ...imports, ...transfers };

export type Work = typeof work;
export type Kind = keyof Work;
export type Asked<K extends Kind> = Parameters<Work[K]>[1];
type Told = { [K in Kind]: Awaited<ReturnType<Work[K]>> };
export type Answer<K extends Kind> = Told[K];

export async function perform<K extends Kind>(desk: Desk, kind: K, args: Asked<K>): Promise<Answer<K>> {
  const does = work[kind] as (desk: Desk, args: Asked<K>) => Answer<K> | Promise<Answer<K>>;
  return does(desk, args);
}
