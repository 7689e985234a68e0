/** What an archive says of itself: its first entry, `MANIFEST.json`. */
import { z } from 'zod';

import { upstreamsName } from '../../gateway/foreign/upstreams-file.ts';
import { segmentNumber } from '#runtime/account/audit-chain.ts';

export const manifestName = 'MANIFEST.json';
/** Who made it: see signature.ts. */
export const signatureName = 'MANIFEST.sig';
/** The hashes of tokens, beside the folders of the processes. */
export const tokensName = 'tokens.json';
/** Also there: which servers of others are mounted, without their secrets. */
export { upstreamsName };
/** What belongs to the fleet. Whoever may bring it in says who may call, and which programs are started. */
export const fleetFiles: readonly string[] = [tokensName, upstreamsName];

const longestPath = 1_024;

/** A path that stays below the folder it is joined to, and is one of ours: no `..`, no control characters, no empty part. */
export function isSafePath(path: string): boolean {
  return (
    path.length <= longestPath &&
    // oxlint-disable-next-line no-control-regex -- they are what is looked for
    !/[\0-\x1f\x7f]/.test(path) &&
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

/** A file that lies beside the archives, for all that hold it: see segments.ts. */
const apartSchema = z.strictObject({
  name: z.string().regex(/^[0-9a-f]{64}\.[0-9a-f]{16}\.zst(?:\.age)?$/),
  /** Of the file as it lies there. */
  bytes: z.int().min(0),
  sha256: sha256Schema,
});

export const fileSchema = z.strictObject({
  /** `<process>/<path in its folder>`, or one of the fleet's. */
  path: z.string().refine(isSafePath, 'is no path of ours'),
  bytes: z.int().min(0),
  sha256: sha256Schema,
  /** Of a database. */
  database: z.strictObject({ userVersion: z.number(), rows: z.record(z.string(), z.int()) }).optional(),
  apart: apartSchema.optional(),
});

export const manifestSchema = z
  .strictObject({
    /** 2 has a signature. */
    format: z.literal([1, 2]),
    createdAt: z.iso.datetime(),
    /** Of Flotilla and of Node. */
    version: z.string(),
    node: z.string(),
    /** The processes whose data is in it. */
    services: z.array(z.string().regex(/^[a-z]+(?:-[a-z]+)*$/)).min(1),
    /** The processes whose data could not be copied, and why. */
    missing: z.array(z.strictObject({ name: z.string(), reason: z.string() })),
    files: z.array(fileSchema),
  })
  .superRefine(({ services, missing, files }, context) => {
    const refuse = (message: string) => context.addIssue(message);
    if (new Set(services).size < services.length) refuse('names a process twice');
    if (missing.some(({ name }) => services.includes(name))) refuse('misses a process that it has');
    const paths = new Set(files.map(({ path }) => path));
    if (paths.size < files.length) refuse('has a file twice');
    for (const file of files) {
      const { path, apart } = file;
      const owner = ownerOf(file);
      if (owner === undefined ? !fleetFiles.includes(path) : !services.includes(owner))
        refuse(`has ${path}, which belongs to nobody in it`);
      for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1))
        if (paths.has(path.slice(0, at))) refuse(`has ${path} below a file`);
      if (apart && (!isSegment(file) || !apart.name.startsWith(file.sha256)))
        refuse(`has ${path} in a place that is not its own`);
    }
  });

export type Manifest = z.output<typeof manifestSchema>;
export type ManifestFile = z.output<typeof fileSchema>;

/** The process that a file of the archive belongs to; `undefined` for what belongs to the fleet. */
export function ownerOf(file: Pick<ManifestFile, 'path'>): string | undefined {
  const at = file.path.indexOf('/');
  return at < 0 ? undefined : file.path.slice(0, at);
}

/** Whether it is one of the files of an audit trail. */
export function isSegment({ path }: Pick<ManifestFile, 'path'>): boolean {
  const [, folder, name = '', ...more] = path.split('/');
  return folder === 'audit' && segmentNumber(name) !== undefined && more.length === 0;
}
