/** `flotilla audit`: do the records of calls hold, in themselves and against what others saw of them? */
import { basename, join, resolve } from 'node:path';

import { allProcesses } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { addBreaks, readBreaks, sortAnchors, type Break } from '#runtime/account/audit-breaks.ts';
import { readHead } from '#runtime/account/audit-chain.ts';
import { verifyAudit, type Anchor, type AuditVerdict } from '#runtime/account/audit-proof.ts';
import { backupFolder } from '#runtime/data/backup-folder.ts';
import { ConfigError, exitCodes } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { readAnchors } from '../../health/anchors.ts';
import { listBackups } from '../backup/folder.ts';
import { entriesNamed } from '../environment.ts';
import { isThere, requireData } from '../reach.ts';

export async function verify(name: string | undefined, environment: Environment): Promise<void> {
  const host = parseHostSettings(environment);
  const dataRoot = resolve(host.FLOTILLA_DATA);
  const names = (name === undefined ? allProcesses : entriesNamed([name])).map((entry) => entry.name);
  const { anchors, troubles } = anchorsOf(host);
  const breaks = readBreaks(dataRoot);
  const known = names.filter((one) => isThere(join(dataRoot, one)) || anchors.has(one));
  if (known.length === 0)
    throw new ConfigError(
      `There are no audit records in ${dataRoot}: set FLOTILLA_DATA, or start the fleet once.`,
    );
  for (const one of known) {
    const { records, faults, notes, seen } = await judge(dataRoot, one, anchors.get(one) ?? [], breaks);
    const holds =
      seen > 0 ? `the chain holds, with ${counted(seen, 'head')} that others saw` : 'the chain holds';
    const verdict = faults.length > 0 ? counted(faults.length, 'fault') : holds;
    process.stdout.write(`${one}: ${counted(records, 'record')}, ${verdict}\n`);
    for (const line of [...faults, ...notes]) process.stdout.write(`  ${line}\n`);
    if (faults.length > 0) process.exitCode = exitCodes.failed;
  }
  if (troubles.length > 0) process.exitCode = exitCodes.failed;
  for (const trouble of troubles) process.stderr.write(`flotilla: ${trouble}\n`);
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

/** `seen`: how many heads that others saw are in it. */
async function judge(
  dataRoot: string,
  name: string,
  anchors: readonly Anchor[],
  breaks: readonly Break[],
): Promise<AuditVerdict & { readonly seen: number }> {
  const folder = join(dataRoot, name, 'audit');
  if (!isThere(folder)) {
    const last = furthestOf(anchors);
    const who = last
      ? `: ${last.seenBy} saw ${counted(last.sequence, 'record')} there on ${last.seenAt}`
      : '';
    return { records: 0, faults: [`${folder} is gone${who}`], notes: [], seen: 0 };
  }
  const head = readHead(folder);
  const { due, unexplained } = sortAnchors(
    name,
    typeof head === 'object' ? head : undefined,
    anchors,
    breaks,
  );
  const verdict = await verifyAudit(folder, due);
  const furthest = furthestOf(unexplained);
  const faults = furthest
    ? [
        `this is another chain than before, which had come to record ${furthest.sequence}, as ${furthest.seenBy} saw on ${furthest.seenAt}, and no restore explains it`,
      ]
    : [];
  return { ...verdict, faults: [...faults, ...verdict.faults], seen: due.length };
}

const furthestOf = (anchors: readonly Anchor[]): Anchor | undefined =>
  anchors.toSorted((a, b) => b.sequence - a.sequence)[0];

/** What health and the backups saw of each trail, and why that is not known. */
function anchorsOf(host: HostSettings) {
  const anchors = new Map<string, Anchor[]>();
  const troubles: string[] = [];
  const take = (what: string, read: () => Iterable<readonly [string, readonly Anchor[]]>) => {
    try {
      for (const [name, seen] of read()) anchors.set(name, [...(anchors.get(name) ?? []), ...seen]);
    } catch (error) {
      troubles.push(`${what} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  take('what health saw of the trails', () => readAnchors(join(resolve(host.FLOTILLA_DATA), 'health')));
  take('what the backups saw of the trails', () =>
    listBackups(backupFolder(host)).flatMap(({ archive, createdAt, note }) =>
      Object.entries(note?.heads ?? {}).map(
        ([name, head]) => [name, [{ ...head, seenAt: createdAt, seenBy: basename(archive) }]] as const,
      ),
    ),
  );
  return { anchors, troubles };
}

/** From now on, what others saw before is no longer held against this trail. */
export function accept(name: string, environment: Environment): void {
  const dataRoot = resolve(parseHostSettings(environment).FLOTILLA_DATA);
  const [entry] = entriesNamed([name]);
  requireData(dataRoot);
  if (!entry) return;
  addBreaks(dataRoot, [{ kind: 'accepted', name: entry.name, at: new Date().toISOString() }]);
  process.stdout.write(
    `${name}: what health and the backups saw of its records until now is no longer held against them.\n`,
  );
}
