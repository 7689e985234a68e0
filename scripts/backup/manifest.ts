/** What an archive says of itself: its first entry, `MANIFEST.json`. */
import { z } from 'zod';

export const manifestName = 'MANIFEST.json';
/** The hashes of tokens, beside the folders of the processes. */
export const tokensName = 'tokens.json';

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

const fileSchema = z.strictObject({
  /** `<process>/<path in its folder>`, or `tokens.json`. */
  path: z
    .string()
    .refine((path) => isSafePath(path) && (path.includes('/') || path === tokensName), 'is no path of ours'),
  bytes: z.number().int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Of a database. */
  database: z
    .strictObject({ userVersion: z.number(), rows: z.record(z.string(), z.number().int()) })
    .optional(),
});

export const manifestSchema = z.strictObject({
  format: z.literal(1),
  createdAt: z.iso.datetime(),
  /** Of Flotilla and of Node. */
  version: z.string(),
  node: z.string(),
  /** The processes whose data is in it. */
  services: z.array(z.string().regex(/^[a-z]+(?:-[a-z]+)*$/)),
  /** The processes whose data could not be copied, and why. */
  missing: z.array(z.strictObject({ name: z.string(), reason: z.string() })),
  files: z.array(fileSchema),
});

export type Manifest = z.output<typeof manifestSchema>;
export type ManifestFile = z.output<typeof fileSchema>;

/** The process that a file of the archive belongs to; `undefined` for what belongs to the fleet. */
export function ownerOf(file: Pick<ManifestFile, 'path'>): string | undefined {
  const at = file.path.indexOf('/');
  return at < 0 ? undefined : file.path.slice(0, at);
}
