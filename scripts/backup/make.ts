/** One backup from beginning to end: copied, archived, on disk, proven, the old ones gone. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { readHead } from '#runtime/account/audit-chain.ts';
import { backupFolder } from '#runtime/data/backup-folder.ts';
import { syncFolder } from '#runtime/files.ts';
import { UnavailableError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';
import { version } from '#runtime/process/version.ts';

import { checkRecipient, passingKey, writeArchive } from './archive.ts';
import { collect } from './collect.ts';
import {
  archiveName,
  giveToOwner,
  expired,
  keepOf,
  listBackups,
  remove,
  newestGood,
  writeNote,
  type BackupNote,
  type WorkingFolder,
} from './folder.ts';
import { manifestName, signatureName, type Manifest } from './manifest.ts';
import { bytesText, type Progress } from './progress.ts';
import { prove } from './prove.ts';
import { pruneSegments, setApart, storedSegments } from './segments.ts';
import { nameOf, ownKey, sign, signingKey } from './signature.ts';

/** One for the one that was made, and one to catch up: a clock or a setting that is wrong for a night takes no more. */
const prunedPerRun = 2;

export interface Made {
  readonly archive: string;
  readonly note: BackupNote;
  readonly missing: Manifest['missing'];
  readonly warnings: readonly string[];
  /** Names of older archives that went. */
  readonly removed: readonly string[];
  /** How many more may go when a person says so. */
  readonly left: number;
  /** Whether the key that signs was made for this one. */
  readonly madeKey: boolean;
}

/**
 * What can be copied is kept and proven, also where some process cannot give its data; nothing old goes then.
 *
 * @throws UnavailableError when nothing can be copied; DamagedDataError when the new archive cannot be proven.
 */
export async function makeBackup(
  folder: string,
  { scratch }: WorkingFolder,
  environment: Environment,
  progress: Progress,
): Promise<Made> {
  const host = parseHostSettings(environment);
  const recipient = host.FLOTILLA_BACKUP_RECIPIENT;
  if (recipient !== undefined) checkRecipient(recipient);
  const createdAt = new Date().toISOString();
  const collected = join(scratch, 'collected');
  mkdirSync(collected, { mode: 0o700 });
  const dataRoot = resolve(host.FLOTILLA_DATA);
  const expected = new Set(
    [folder, backupFolder(host)].flatMap((one) => newestGood(one)?.note?.services ?? []),
  );
  const stored = await storedSegments(folder, recipient);
  const got = await collect(dataRoot, host, collected, expected, stored, progress);
  const { services, missing } = got;
  if (services.length === 0) {
    const reasons = Object.entries(Object.groupBy(missing, ({ reason }) => reason)).map(
      ([reason, those = []]) => `${those.map(({ name }) => name).join(', ')}: ${reason}`,
    );
    throw new UnavailableError(`Nothing could be copied. ${reasons.join('; ') || 'There is no data yet.'}`);
  }
  const key = recipient === undefined ? undefined : await passingKey();
  const recipients = key && recipient !== undefined ? [recipient, key.recipient] : [];
  const files = [...(await setApart(got.files, collected, folder, recipients))];
  const madeKey = ownKey(host) === undefined;
  const signer = signingKey(host);
  const manifest: Manifest = {
    format: 2,
    createdAt,
    version,
    node: process.version,
    services,
    missing,
    files,
  };
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  writeFileSync(join(collected, manifestName), text, { mode: 0o600 });
  writeFileSync(join(collected, signatureName), sign(text, signer), { mode: 0o600 });

  const heads = services.flatMap((name) => {
    const head = readHead(join(collected, name, 'audit'));
    return typeof head === 'object' ? [[name, head] as const] : [];
  });
  const partial = join(scratch, 'archive.partial');
  const within = files.filter(({ apart }) => !apart).map(({ path }) => path);
  const paths = [manifestName, signatureName, ...within];
  const told = (bytes: number) => progress.tell(`Packing: ${bytesText(bytes)}`);
  const { sizeBytes, sha256 } = await writeArchive(collected, paths, partial, recipients, told);
  rmSync(collected, { recursive: true });

  const archive = join(folder, archiveName(createdAt, key !== undefined));
  const note: BackupNote = {
    createdAt,
    sizeBytes,
    sha256,
    services,
    dataBytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    files: files.length,
    missing: missing.map(({ name }) => name),
    isEncrypted: key !== undefined,
    ...(recipient !== undefined && { recipient }),
    segments: files.filter(({ apart }) => apart),
    signer: nameOf(signer),
    verifiedAt: null,
    heads: Object.fromEntries(heads),
  };
  writeNote(archive, note);
  renameSync(partial, archive);
  giveToOwner(archive);
  syncFolder(folder);

  const provenFrom = performance.now();
  const { warnings } = await prove(
    archive,
    scratch,
    key ? [key.identity] : [],
    environment,
    progress,
    sha256,
  );
  const restoreMs = Math.round(performance.now() - provenFrom);
  const proven = { ...note, verifiedAt: new Date().toISOString(), restoreMs };
  writeNote(archive, proven);
  // Nothing old goes while something is missing in the new.
  const old = missing.length > 0 ? [] : expired(listBackups(folder), keepOf(host), Date.now());
  const removed = remove(folder, old, prunedPerRun);
  pruneSegments(folder);
  return { archive, note: proven, missing, warnings, removed, left: old.length - removed.length, madeKey };
}
