/** Gets every process's data from its owner; where the owner does not run, it becomes the owner for a moment. */
import { copyFileSync, existsSync, lstatSync, readFileSync, rmSync, type Stats } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { allProcesses, type CatalogueEntry } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { restoreMarker, takeFolder } from '#runtime/data/data-folder.ts';
import { inspectDatabase } from '#runtime/database.ts';
import { ConfigError, DamagedDataError, UnavailableError } from '#runtime/errors.ts';
import { Snapshots, type Held } from '#runtime/data/snapshot.ts';

import { findToken, urlOf } from '../environment.ts';
import { loadService } from '../load.ts';
import { fleetFiles, type Manifest, type ManifestFile } from './manifest.ts';
import { bytesText, type Progress } from './progress.ts';
import { receiveSnapshot, type ReceivedFile } from './receive.ts';

/** For the first word: a unit may have to start first. */
const answerWithinMs = 30_000;

const whenMeant = 'The newest good backup has it: restore it, or make an empty folder if it was meant to go';

export type Collected = Pick<Manifest, 'services' | 'missing' | 'files'>;

/**
 * The data of all processes that ever kept any, into one folder each below `into`. Who cannot give it is named; so is one
 * of the `expected` that has no folder any more. What is `stored` beside the archives is not copied again.
 */
export async function collect(
  dataRoot: string,
  host: HostSettings,
  into: string,
  expected: ReadonlySet<string>,
  stored: ReadonlyMap<string, ManifestFile>,
  progress: Progress,
): Promise<Collected> {
  const services: string[] = [];
  const missing: { name: string; reason: string }[] = [];
  const files: ManifestFile[] = [];
  for (const entry of allProcesses) {
    const { name } = entry;
    const target = join(into, name);
    const marker = restoreMarker(dataRoot, name);
    if (existsSync(marker)) {
      missing.push({ name, reason: `its restore goes on or was broken off (${marker})` });
      continue;
    }
    if (!statOf(join(dataRoot, name))) {
      // Otherwise it has never run.
      if (expected.has(name)) missing.push({ name, reason: `${join(dataRoot, name)} is gone. ${whenMeant}` });
      continue;
    }
    try {
      const held = new Map(
        [...stored].flatMap(([path, { sha256 }]) =>
          path.startsWith(`${name}/`) ? [[path.slice(name.length + 1), sha256] as const] : [],
        ),
      );
      const received = await copyOf(entry, dataRoot, host, target, held, progress);
      const described = received.map(
        (file) => (file.isHeld && stored.get(`${name}/${file.path}`)) || describe(name, file, target),
      );
      services.push(name);
      files.push(...described);
    } catch (error) {
      rmSync(target, { recursive: true, force: true });
      if (isDiskFull(error)) throw error;
      missing.push({ name, reason: reasonOf(error) });
    }
  }
  for (const path of fleetFiles.filter((name) => statOf(join(dataRoot, name)))) {
    copyFileSync(join(dataRoot, path), join(into, path));
    const contents = readFileSync(join(into, path));
    const sha256 = createHash('sha256').update(contents).digest('hex');
    files.push({ path, bytes: contents.length, sha256 });
  }
  return { services, missing, files };
}

/** Of the thing itself: on a host, a folder may be a link to where only its owner may look. */
function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

async function copyOf(
  entry: CatalogueEntry,
  dataRoot: string,
  host: HostSettings,
  target: string,
  held: Held,
  progress: Progress,
): Promise<readonly ReceivedFile[]> {
  const { name } = entry;
  const told = (path: string, bytes: number) =>
    progress.tell(`Copying ${name}: ${bytes === 0 ? path : bytesText(bytes)}`);
  const response = await ask(entry, host, held);
  if (response) return receiveSnapshot(response, target, told, held);

  const dataDir = join(dataRoot, name);
  using _lock = takeStopped(dataDir);
  const { secretFiles = [] } = await loadService(name);
  await using snapshots = new Snapshots({ dataDir, secretFiles }, async () => undefined);
  return await receiveSnapshot(snapshots.take(held, () => {}) ?? new ReadableStream(), target, told, held);
}

/** @throws UnavailableError when it is not this user's, or somebody works there who does not listen. */
function takeStopped(dataDir: string): Disposable {
  try {
    return takeFolder(dataDir);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UnavailableError(`it does not answer, and its folder is out of reach. ${reason}`, {
      cause: error,
    });
  }
}

/** @returns `undefined` when nothing listens there. @throws UnavailableError with what the process says. */
async function ask(
  entry: CatalogueEntry,
  host: HostSettings,
  held: Held,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const token = tokenIfAny(host);
  const silence = new AbortController();
  const late = setTimeout(() => silence.abort(new Error('it hangs')), answerWithinMs);
  let response: Response;
  try {
    response = await fetch(`${urlOf(entry, host)}/admin/snapshot`, {
      method: 'POST',
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      ...(held.size > 0 && { body: JSON.stringify({ held: Object.fromEntries(held) }) }),
      redirect: 'error',
      signal: silence.signal,
    });
  } catch (error) {
    const { cause } = error as { cause?: NodeJS.ErrnoException };
    if (cause?.code === 'ECONNREFUSED') return undefined;
    throw error;
  } finally {
    clearTimeout(late);
  }
  if (response.ok && response.body) return response.body;
  if (token === undefined) findToken(host); // says where one was looked for
  const { error = '' } = (await response.json().catch(() => ({}))) as { error?: string };
  throw new UnavailableError(`it answers ${response.status}: ${error}`);
}

/** A fleet that stands still needs none. */
function tokenIfAny(host: HostSettings): string | undefined {
  try {
    return findToken(host);
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}

/** @throws DamagedDataError for a database that is not whole: a copy of it must not pass for a backup. */
function describe(name: string, file: ReceivedFile, folder: string): ManifestFile {
  const { path, bytes, sha256, isDatabase } = file;
  const described = { path: `${name}/${path}`, bytes, sha256 };
  if (!isDatabase) return described;
  const { finding, userVersion, rows } = inspectDatabase(join(folder, path));
  if (finding !== null) throw new DamagedDataError(`its database ${path} is damaged: ${finding}`);
  return { ...described, database: { userVersion, rows } };
}

/** Ours, which would be the same for all others. A process's own full disk comes as words in its stream. */
export function isDiskFull(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error && error.message === 'fetch failed' ? cause.message : error.message;
}
