/** A backup is proven by restoring it: to a scratch folder, compared with its manifest, opened by the services' own code. */
import { mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { entryOf } from '#config/catalogue.ts';
import { verifyAudit } from '#runtime/account/audit-proof.ts';
import { isLeftOut } from '#runtime/data/snapshot.ts';
import { inspectDatabase } from '#runtime/database.ts';
import { DamagedDataError } from '#runtime/errors.ts';
import { tryCopy } from '#runtime/process/run.ts';
import type { Environment } from '#runtime/process/settings.ts';

import { loadService } from '../load.ts';
import { unpackArchive, type Unpacked } from './archive.ts';
import { ownerOf, type Manifest, type ManifestFile } from './manifest.ts';
import { bytesText, type Progress } from './progress.ts';
import { openSegment, segmentFile } from './segments.ts';

export interface Proof extends Unpacked {
  /** What a person should know, though the archive holds what was there. */
  readonly warnings: readonly string[];
}

/** @throws DamagedDataError that says what is wrong with it. */
export async function prove(
  archive: string,
  scratch: string,
  identities: readonly string[],
  environment: Environment,
  progress: Progress,
  noted?: string,
): Promise<Proof> {
  const into = join(scratch, 'restored');
  rmSync(into, { recursive: true, force: true });
  const told = (bytes: number) => progress.tell(`Restoring for proof: ${bytesText(bytes)}`);
  const target = ({ path }: ManifestFile) => join(into, path);
  const unpacked = await unpackArchive(archive, { identities, target, room: scratch, told, noted });
  const { manifest } = unpacked;
  await refuseForeign(archive, manifest);
  /** Whose older records no identity at hand opens. */
  const sealed = new Set<string | undefined>();
  for (const file of manifest.files.filter(({ apart }) => apart)) {
    progress.tell(`Opening ${file.path}`);
    const opened = await openSegment(archive, file, identities, target(file));
    if (opened === 'gone')
      throw new DamagedDataError(`${segmentFile(archive, file)} is missing: ${archive} needs it.`);
    if (opened === 'sealed') sealed.add(ownerOf(file));
  }
  compareDatabases(archive, manifest.files, target, progress);
  const warnings: string[] = [];
  for (const name of manifest.services) {
    const entry = entryOf(name);
    if (!entry) {
      warnings.push(`${name} is not in this version's catalogue: its files are whole, but were not opened`);
      continue;
    }
    progress.tell(`Opening ${name}`);
    const folder = join(into, name);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { faults } = await verifyAudit(join(folder, 'audit'), [], { isEnd: sealed.has(name) });
    for (const fault of faults) warnings.push(`the audit chain of ${name}: ${fault}`);
    // Who keeps nothing opens what others have: users' files, an upstream. They say nothing about a backup.
    if (entry.data === null) continue;
    try {
      await tryCopy(await loadService(name), folder, environment);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new DamagedDataError(`${basename(archive)}: ${name} cannot open its data: ${reason}`, {
        cause: error,
      });
    }
  }
  rmSync(into, { recursive: true, force: true });
  return { ...unpacked, warnings };
}

/** @throws DamagedDataError for what no backup of ours holds, such as a key of sessions: somebody else put it in. */
export async function refuseForeign(archive: string, { services, files }: Manifest): Promise<void> {
  const paths = new Set(files.map(({ path }) => path));
  for (const name of services.filter((one) => entryOf(one))) {
    const { secretFiles = [] } = await loadService(name);
    const foreign = [...paths].find(
      (path) =>
        path.startsWith(`${name}/`) &&
        isLeftOut(path.slice(name.length + 1), secretFiles, (other) => paths.has(`${name}/${other}`)),
    );
    if (foreign !== undefined)
      throw new DamagedDataError(`${archive} has ${foreign}, which no backup holds: somebody put it in.`);
  }
}

/** @throws DamagedDataError for a database that is not whole or not the one that was copied. */
export function compareDatabases(
  archive: string,
  files: readonly ManifestFile[],
  target: (file: ManifestFile) => string | undefined,
  progress: Progress,
): void {
  for (const file of files) {
    const { path, database } = file;
    const copy = target(file);
    if (!database || copy === undefined) continue;
    progress.tell(`Checking ${path}`);
    const { finding, ...facts } = inspectDatabase(copy);
    const wrong = finding ?? (isDeepStrictEqual(facts, database) ? null : 'its tables have other counts');
    if (wrong !== null) throw new DamagedDataError(`${basename(archive)}: ${path} is damaged: ${wrong}`);
  }
}
