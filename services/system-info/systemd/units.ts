/** Units of systemd, by systemctl. */
import { redacted } from '#runtime/redaction.ts';

import { Absent, linesOf, type Host } from '../host.ts';
import { runProgram } from './run.ts';

/** As systemd allows them. No blank, no slash, and no dash in front: nothing that could be an option, a path or a pattern. */
export const unitNamePattern = /^[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*$/;

const kinds = /\.(?:service|socket|target|timer|path|mount|automount|slice|scope|device|swap)$/;

/** A name without a kind is that of a service. */
export const unitNameOf = (name: string): string => (kinds.test(name) ? name : `${name}.service`);

export interface Unit {
  readonly unit: string;
  readonly load: string;
  readonly active: string;
  readonly sub: string;
  readonly description: string;
}

/** All services that systemd has loaded, by name. @throws Absent. */
export async function listUnits(host: Host, signal: AbortSignal): Promise<Unit[]> {
  const args = ['list-units', '--type=service', '--all', '--plain', '--full', '--no-legend', '--no-pager'];
  const text = await runProgram(host, 'systemctl', args, signal);
  return linesOf(text)
    .map((line) => {
      const [unit = '', load = '', active = '', sub = '', ...description] = line.trim().split(/\s+/);
      return { unit, load, active, sub, description: redacted(description.join(' ')) };
    })
    .filter(({ unit }) => unit !== '')
    .toSorted((one, other) => (one.unit < other.unit ? -1 : 1));
}

const properties = [
  'Id',
  'Description',
  'LoadState',
  'ActiveState',
  'SubState',
  'UnitFileState',
  'Result',
  'MainPID',
  'ExecMainStatus',
  'NRestarts',
  'MemoryCurrent',
  'CPUUsageNSec',
  'TasksCurrent',
  'ActiveEnterTimestamp',
  'InactiveEnterTimestamp',
] as const;

export type UnitFacts = Readonly<Record<(typeof properties)[number], string>>;

/** What systemd knows of one unit; nothing of how it is started, and no environment. @throws Absent. */
export async function showUnits(
  host: Host,
  units: readonly string[],
  signal: AbortSignal,
): Promise<UnitFacts[]> {
  const args = ['show', '--no-pager', `--property=${properties.join(',')}`, '--', ...units];
  const text = await runProgram(host, 'systemctl', args, signal);
  const found = text
    .split('\n\n')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const pairs = linesOf(part).map((line) => {
        const at = line.indexOf('=');
        return [line.slice(0, at), line.slice(at + 1)] as const;
      });
      return Object.fromEntries(pairs) as unknown as UnitFacts;
    });
  if (found.length === 0) throw new Absent('systemctl said nothing of it');
  return found;
}

/** What systemd does not know is empty, `[not set]`, or the largest number. */
export function figureOf(text: string | undefined): number | undefined {
  const number = Number(text);
  return text === undefined || text === '' || !Number.isFinite(number) || number >= 2 ** 63
    ? undefined
    : number;
}

/** Such as "Sun 2026-11-29 04:03:37 UTC". */
export function instantOf(text: string | undefined): string | undefined {
  const [, date, time, zone] = /^\S+ (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (\S+)$/.exec(text ?? '') ?? [];
  if (date === undefined || time === undefined) return undefined;
  const parsed = Date.parse(`${date} ${time} ${zone}`);
  // Of zones whose short name means nothing elsewhere, the text stays.
  return Number.isNaN(parsed) ? text : new Date(parsed).toISOString();
}
