/** The ids of tasks and projects: a number that only grows, and a few letters that no other ledger has at the same number. */
import { randomInt } from 'node:crypto';

import { ToolError } from '#runtime/errors.ts';

interface Identified {
  readonly seq: number;
  readonly nonce: string;
}

const letters = 'abcdefghijkmnpqrstuvwxyz23456789';

export const newNonce = (): string =>
  Array.from({ length: 4 }, () => letters[randomInt(letters.length)]).join('');

export const taskId = ({ seq, nonce }: Identified): string => `t${seq}-${nonce}`;
export const projectId = ({ seq, nonce }: Identified): string => `p${seq}-${nonce}`;

/** @param id of the right form: the tools see to it. */
export function parseId(id: string): Identified {
  const dash = id.indexOf('-');
  return { seq: Number(id.slice(1, dash)), nonce: id.slice(dash + 1) };
}

export const noTask = (id: string): ToolError =>
  new ToolError('not_found', `There is no task ${id}.`, { hint: 'list_tasks tells the ids of all.' });

export const noProject = (id: string): ToolError =>
  new ToolError('not_found', `There is no project ${id}.`, { hint: 'list_projects tells the ids of all.' });
