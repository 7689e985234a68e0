/** Puts the data of a backup in place: staged and checked first, then by renaming, and nothing of what was there is lost. */
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { entryOf } from '#config/catalogue.ts';
import { addBreaks, type Break } from '#runtime/account/audit-breaks.ts';
import { readHead } from '#runtime/account/audit-chain.ts';
import { AuditTrail } from '#runtime/account/audit.ts';
import { isOfFuture } from '#runtime/data/backup-state.ts';
import { giveToReaders, restoreMarker, takeFolder } from '#runtime/data/data-folder.ts';
import { lockFolder } from '#runtime/database.ts';
import { UnavailableError, UsageError } from '#runtime/errors.ts';
import { removeHalfWritten, syncFolder, writeFileAtomic } from '#runtime/files.ts';

import { commandTo } from '../host/systemctl.ts';
import { peekArchive, unpackArchive, type Unpacked } from './archive.ts';
import {
  fleetFiles,
  ownerOf,
  tokensName,
  upstreamsName,
  type Manifest,
  type ManifestFile,
} from './manifest.ts';
import { isNewerThan } from './newer.ts';
import { bytesText, type Progress } from './progress.ts';
import { compareDatabases, refuseForeign } from './prove.ts';
import { openSegment } from './segments.ts';

export interface RestoreOptions {
  readonly archive: string;
  readonly identities: readonly string[];
  readonly dataRoot: string;
  /** These processes alone; all that the archive holds unless given. */
  readonly only: readonly string[] | undefined;
  /** Also over what was written after the backup was made. */
  readonly force: boolean;
  readonly dryRun: boolean;
  /** The SHA-256 that is noted beside the archive. */
  readonly noted: string | undefined;
  /** Public keys: what one of these signed may bring tokens along. `unsigned` is for archives of older versions. */
  readonly trusted: readonly string[];
  /** Nobody named the archive: it has to be signed by one of the trusted keys, where there are any. */
  readonly isChosen: boolean;
}

/** What became of a file of the fleet. `withheld`: nothing shows who made the archive. */
type OfFleet = 'restored' | 'kept' | 'not asked for' | 'withheld' | 'none';

export interface Restored {
  readonly manifest: Manifest;
  readonly services: readonly {
    readonly name: string;
    /** When the data in its place was last written; `null` where there is none. */
    readonly lastWrittenAt: string | null;
    readonly isNewer: boolean;
    /** Where that went. */
    readonly replaced: string | null;
  }[];
  /** Of the archive, but not of this version's catalogue. */
  readonly unknown: readonly string[];
  readonly tokens: OfFleet;
  /** Which servers of others are mounted. */
  readonly upstreams: OfFleet;
  readonly signer: string;
  readonly isTrusted: boolean;
  /** Processes whose older records of calls do not lie beside the archive. */
  readonly withoutOlderRecords: readonly string[];
}

/** In place of a key, for an archive that none has signed. */
export const unsigned = 'unsigned';

/** A process's folder, and where its new contents wait beside it. */
interface Place {
  readonly name: string;
  readonly folder: string;
  readonly staged: string;
  readonly lastWrittenAtMs: number | null;
}

const stagingName = '.restore-staging';

/**
 * @throws UnavailableError while a process runs whose data would be replaced; UsageError for newer data without `force`;
 * DamagedDataError when the archive is not whole. Nothing has changed then.
 */
export async function restoreArchive(options: RestoreOptions, progress: Progress): Promise<Restored> {
  const { archive, identities, dataRoot, only, force, dryRun, noted } = options;
  using locks = new DisposableStack();
  const startedAt = new Date().toISOString().replaceAll(':', '-');
  const staging = join(dataRoot, stagingName);
  const lock = lockFolder(staging);
  if (!lock) throw new UnavailableError(`Another restore is at work in ${dataRoot}.`);
  locks.use(lock);
  let places: readonly Place[] = [];
  /** Folders that the locks made, which go again when nothing is put in place. */
  const made: string[] = [];
  try {
    const peeked = await peekArchive(archive, identities);
    const { manifest, signer = unsigned } = peeked;
    const isTrusted = trusts(options, signer);
    const names = (only ?? manifest.services).filter((name) => entryOf(name));
    requireHeld(archive, manifest, only);
    places = names.map((name) => placeOf(dataRoot, name));
    // Nothing is put in place by a look: the processes may go on.
    if (!dryRun) takeAll(places, dataRoot, locks, made);
    const newer = new Set<string>();
    for (const { name, folder, staged } of places)
      if (await isNewerThan(manifest, name, folder, dirname(staged))) newer.add(name);
    if (!force && !dryRun) refuseNewer(places, newer, manifest);

    const wanted = fleetFiles.filter((name) => only === undefined && !existsSync(join(dataRoot, name)));
    const stagedOf = new Map(places.map(({ name, staged }) => [name, staged]));
    const target = (file: ManifestFile) => {
      if (dryRun) return undefined;
      const owner = ownerOf(file);
      if (owner === undefined)
        return isTrusted && wanted.includes(file.path) ? join(staging, file.path) : undefined;
      const staged = stagedOf.get(owner);
      return staged && join(staged, file.path.slice(owner.length + 1));
    };
    const told = (bytes: number) => progress.tell(`Unpacking: ${bytesText(bytes)}`);
    const decide = (unpacked: Unpacked) => {
      if (!isDeepStrictEqual(unpacked, peeked))
        throw new UnavailableError(`${archive} was changed meanwhile.`);
    };
    await unpackArchive(archive, { identities, target, room: dataRoot, told, decide, noted });
    await refuseForeign(archive, manifest);
    const gone = dryRun ? [] : await openSegments(archive, manifest, identities, target);
    const taken = (name: string): OfFleet => {
      if (only) return 'not asked for';
      if (!wanted.includes(name)) return 'kept';
      if (!manifest.files.some(({ path }) => path === name)) return 'none';
      return isTrusted ? 'restored' : 'withheld';
    };
    const restored: Restored = {
      manifest,
      services: places.map(({ name, lastWrittenAtMs }) => ({
        name,
        lastWrittenAt: lastWrittenAtMs === null ? null : new Date(lastWrittenAtMs).toISOString(),
        isNewer: newer.has(name),
        replaced: null,
      })),
      unknown: manifest.services.filter((name) => !entryOf(name)),
      tokens: taken(tokensName),
      upstreams: taken(upstreamsName),
      signer,
      isTrusted,
      withoutOlderRecords: [...new Set(gone)],
    };
    if (dryRun) return restored;

    compareDatabases(archive, manifest.files, target, progress);
    const breaks: Break[] = [];
    for (const place of places) {
      breaks.push(await goOn(place, archive));
      finish(place, Math.min(Date.parse(manifest.createdAt), Date.now()));
    }
    addBreaks(dataRoot, breaks);
    made.length = 0; // from here on they are what was restored
    const again = [archive, ...(only ? ['--only', names.join(',')] : []), ...(force ? ['--force'] : [])];
    const unmark = mark(places, dataRoot, again.join(' '));
    const replaced = new Map(places.map((place) => [place.name, exchange(place, startedAt)]));
    for (const name of [upstreamsName, tokensName].filter((one) => taken(one) === 'restored'))
      placeOfFleet(staging, name, dataRoot);
    unmark();
    return {
      ...restored,
      services: restored.services.map((one) => ({ ...one, replaced: replaced.get(one.name) ?? null })),
    };
  } finally {
    for (const folder of [staging, ...places.map(({ staged }) => dirname(staged))])
      rmSync(folder, { recursive: true, force: true });
    // Nothing but their locks is in these.
    for (const folder of made) rmSync(folder, { recursive: true, force: true });
  }
}

/** @throws UsageError for an archive that nobody named, where somebody else has signed it. */
function trusts({ archive, trusted, isChosen }: RestoreOptions, signer: string): boolean {
  const isTrusted = trusted.includes(signer);
  if (isChosen && !isTrusted && trusted.length > 0) {
    throw new UsageError(
      `${archive} is not signed by the key of this host, but by ${signer}: name it to restore it all the same, without its tokens.`,
    );
  }
  return isTrusted;
}

/** Older records of calls, which lie beside the archive. @returns whose do not: the rest is not held up by that. */
async function openSegments(
  archive: string,
  { files }: Manifest,
  identities: readonly string[],
  target: (file: ManifestFile) => string | undefined,
): Promise<readonly string[]> {
  const gone: string[] = [];
  for (const file of files.filter(({ apart }) => apart)) {
    const to = target(file);
    if (to === undefined || (await openSegment(archive, file, identities, to)) === 'opened') continue;
    gone.push(ownerOf(file) ?? '');
  }
  return gone;
}

function requireHeld(archive: string, { services }: Manifest, only: readonly string[] | undefined): void {
  const absent = only?.find((name) => !services.includes(name));
  if (absent !== undefined)
    throw new UsageError(`${archive} has no ${absent}. It holds: ${services.join(', ')}.`);
}

function placeOf(dataRoot: string, name: string): Place {
  const named = join(dataRoot, name);
  // On a host it may be a link to where systemd keeps it, and that may be what was lost.
  const link = lstatSync(named, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(named) : name;
  const folder = existsSync(named) ? realpathSync(named) : resolve(dataRoot, link);
  const staged = join(dirname(folder), stagingName, name);
  rmSync(staged, { recursive: true, force: true });
  return { name, folder, staged, lastWrittenAtMs: lastWritten(folder) };
}

/** Of what a process keeps there; `null` where it keeps nothing. */
function lastWritten(folder: string): number | null {
  if (!existsSync(folder)) return null;
  const times = readdirSync(folder, { recursive: true, withFileTypes: true })
    // Looking alone makes SQLite write the second, and leaves an empty journal.
    .filter((entry) => entry.isFile() && entry.name !== '.lock' && !entry.name.endsWith('-shm'))
    .map((entry) => statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false }))
    .flatMap((stats) => (stats && stats.size > 0 ? [stats.mtimeMs] : []));
  return times.length === 0 ? null : Math.max(...times);
}

/** @throws UnavailableError that names all who run. */
function takeAll(places: readonly Place[], dataRoot: string, locks: DisposableStack, made: string[]): void {
  const running: string[] = [];
  for (const { name, folder } of places) {
    // A folder that is missing is made by the lock, so that nobody can start there meanwhile.
    if (!existsSync(folder)) made.push(folder);
    try {
      locks.use(takeFolder(folder));
    } catch (error) {
      if (!(error instanceof UnavailableError) || !existsSync(folder)) throw error;
      running.push(name);
    }
  }
  if (running.length === 0) return;
  throw new UnavailableError(
    `Another process works on the data of ${running.join(', ')}. Stop the fleet first: ${commandTo('stop', running, dataRoot)}. Nothing was changed.`,
  );
}

function refuseNewer(places: readonly Place[], newer: ReadonlySet<string>, manifest: Manifest): void {
  if (isOfFuture(manifest.createdAt, Date.now())) {
    throw new UsageError(
      `The backup says that it was made ${manifest.createdAt}, which is yet to come: whether it is newer than the data cannot be known. Give --force to put it in place all the same.`,
    );
  }
  const which = places
    .filter(({ name }) => newer.has(name))
    .map(({ name, lastWrittenAtMs }) => `${name} (${new Date(lastWrittenAtMs ?? 0).toISOString()})`);
  if (which.length === 0) return;
  throw new UsageError(
    `Written after the backup of ${manifest.createdAt}: ${which.join(', ')}. Give --force to put the older data in place; what is there now is kept beside it.`,
  );
}

function rethrow(error: unknown): never {
  throw error;
}

/** A restore is a record too: the trail goes on from what is in the archive, as a chain of its own. */
async function goOn({ name, staged }: Place, archive: string): Promise<Break> {
  const folder = join(staged, 'audit');
  const before = readHead(folder);
  const { chain: from = '', sequence = 0 } = typeof before === 'object' ? before : {};
  await using trail = await AuditTrail.open(folder, rethrow, { restoredFrom: basename(archive) });
  await trail.sync();
  const at = new Date().toISOString();
  return { kind: 'restored', name, at, archive: basename(archive), from, sequence, to: trail.head.chain };
}

/** Owner, times and durability, as if the process had written it when the backup was made. */
function finish({ folder, staged }: Place, createdAtMs: number): void {
  mkdirSync(staged, { recursive: true, mode: 0o700 });
  const { uid, gid } = statSync(existsSync(folder) ? folder : dirname(folder));
  const isRoot = process.getuid?.() === 0;
  const entries = readdirSync(staged, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    // So that a second run does not take for newer what the first one put there.
    if (entry.isFile()) utimesSync(path, createdAtMs / 1_000, createdAtMs / 1_000);
    else syncFolder(path);
    if (isRoot) chownSync(path, uid, gid);
  }
  if (isRoot) chownSync(staged, uid, gid);
  syncFolder(staged);
}

function placeOfFleet(staging: string, name: string, dataRoot: string): void {
  const staged = join(staging, name);
  giveToReaders(staged, dataRoot);
  renameSync(staged, join(dataRoot, name));
  syncFolder(dataRoot);
}

/**
 * A marker for each process keeps it from starting until all are in place: no two of different ages work together. `again`
 * is the command that finishes what was broken off. @returns what takes the markers away.
 */
function mark(places: readonly Place[], dataRoot: string, again: string): () => void {
  const markers = places.map(({ name }) => restoreMarker(dataRoot, name));
  for (const marker of markers) writeFileAtomic(marker, `${again}\n`, 0o644);
  return () => {
    for (const marker of markers) rmSync(marker);
    // Of a restore that was killed while it wrote its markers.
    removeHalfWritten(dataRoot, (name) => markers.includes(join(dataRoot, name)));
    syncFolder(dataRoot);
  };
}

/** Two renames. @returns where the old went. */
function exchange({ name, folder, staged }: Place, startedAt: string): string | null {
  const parent = dirname(folder);
  let replaced: string | null = null;
  if (lastWritten(folder) === null) {
    rmSync(folder, { recursive: true, force: true });
  } else {
    replaced = join(parent, 'replaced', startedAt, name);
    mkdirSync(dirname(replaced), { recursive: true, mode: 0o700 });
    renameSync(folder, replaced);
    syncFolder(dirname(replaced));
  }
  renameSync(staged, folder);
  syncFolder(parent);
  return replaced;
}
