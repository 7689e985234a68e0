/** `flotilla maintenance`: times in which nobody is told, and no error budget is spent. */
import { z } from 'zod';

import { UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { askHealth } from '../ask-health.ts';
import { entriesNamed } from '../environment.ts';
import { ownCommand } from '../own-command.ts';
import { table } from '../table.ts';
import { parseExpiry } from './token.ts';

const windowSchema = z.object({
  id: z.number(),
  processes: z.union([z.literal('all'), z.array(z.string())]),
  from: z.string(),
  until: z.string(),
  isOpen: z.boolean(),
  reason: z.string(),
  startedBy: z.string().nullable(),
  recurring: z.string().nullable(),
});

export async function startMaintenance(
  chosen: readonly string[],
  options: { readonly for?: string; readonly until?: string; readonly reason: string },
  environment: Environment,
): Promise<void> {
  if ((options.for === undefined) === (options.until === undefined))
    throw new UsageError('Say how long, with either --for 30m or --until TIME.');
  if (chosen.includes('all') && chosen.length > 1) throw new UsageError('Name processes, or all: not both.');
  const processes = chosen.includes('all') ? 'all' : entriesNamed(chosen).map(({ name }) => name);
  const until = parseExpiry(options.until ?? options.for ?? '', Date.now()).toISOString();
  const { started, isKept } = await askHealth(
    parseHostSettings(environment),
    '/maintenance',
    z.object({ started: windowSchema, isKept: z.boolean() }),
    { do: 'start', processes, until, reason: options.reason },
  );
  say(
    `✓ Maintenance ${started.id} of ${namesOf(started.processes)} until ${started.until}: nobody is told, and no budget is spent. To end it sooner: ${ownCommand()} maintenance end ${started.id}`,
  );
  if (!isKept) say('! The disk takes nothing: it holds, but would not outlive a restart of health.');
}

export async function listMaintenance(
  options: { readonly days: number; readonly json?: boolean },
  environment: Environment,
): Promise<void> {
  const { windows } = await askHealth(
    parseHostSettings(environment),
    `/maintenance?days=${options.days}`,
    z.object({ windows: z.array(windowSchema) }),
  );
  if (options.json) {
    say(JSON.stringify(windows, null, 2));
    return;
  }
  if (windows.length === 0) {
    say(`No window is open, and none was in the last ${options.days} days.`);
    return;
  }
  const rows = windows.map(({ id, isOpen, processes, from, until, startedBy, recurring, reason }) => [
    String(id),
    isOpen ? 'open' : 'over',
    namesOf(processes),
    from.slice(0, 16),
    until.slice(0, 16),
    recurring === null ? (startedBy ?? '') : `every ${recurring}`,
    reason,
  ]);
  process.stdout.write(table(['no.', 'is', 'processes', 'from (UTC)', 'until', 'by', 'reason'], rows));
}

export async function endMaintenance(id: number | undefined, environment: Environment): Promise<void> {
  const { ended } = await askHealth(
    parseHostSettings(environment),
    '/maintenance',
    z.object({ ended: z.array(windowSchema) }),
    { do: 'end', ...(id !== undefined && { id }) },
  );
  if (ended.length === 0) say('No window is open.');
  for (const window of ended) say(`✓ Maintenance ${window.id} of ${namesOf(window.processes)} is over.`);
}

const namesOf = (processes: 'all' | readonly string[]) =>
  processes === 'all' ? 'all' : processes.join(', ');

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
