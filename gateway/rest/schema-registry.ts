/** Schemas that clients have registered, by name and version; safe on disk before anybody hears of it. */
import { existsSync, readFileSync } from 'node:fs';

import { z } from 'zod';

import { DamagedDataError, ToolError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';
import { commonSchemas } from '#runtime/envelope/common-schemas.ts';
import { requireCheckable } from '#runtime/envelope/validators.ts';

const mostOfToken = 100;
const mostInAll = 2_000;
const mostVersions = 20;

const kept = z.strictObject({
  name: z.string(),
  version: z.int().positive(),
  owner: z.string(),
  describes: z.string(),
  schema: z.record(z.string(), z.unknown()),
  registered_at: z.string(),
});
export type KeptSchema = z.output<typeof kept>;

const file = z.strictObject({ schemas: z.array(kept) });

export class SchemaRegistry {
  readonly #file: string;
  #all: readonly KeptSchema[];

  /** @throws DamagedDataError for a file that cannot be read: nothing takes its place. */
  constructor(path: string) {
    this.#file = path;
    this.#all = existsSync(path) ? readAll(path) : [];
  }

  /** The newest version of each, and those that nobody has to register. */
  list(): readonly KeptSchema[] {
    const newest = new Map(this.#all.map((one) => [one.name, one]));
    return [...Object.keys(commonSchemas).map((name) => common(name)), ...newest.values()].flatMap(
      (one) => one ?? [],
    );
  }

  /** @throws ToolError not_found */
  get(name: string, version?: number): KeptSchema {
    const found =
      common(name) ??
      this.#all.findLast((one) => one.name === name && (version === undefined || one.version === version));
    if (found && (version === undefined || found.version === version)) return found;
    const which = version === undefined ? '' : ` of version ${version}`;
    throw new ToolError('not_found', `There is no schema "${name}"${which}.`, {
      hint: 'GET /api/v1/schemas lists those that there are.',
    });
  }

  /** The same schema again is the version that there is; another one is the next. @throws ToolError */
  register(
    { name, schema, describes }: Pick<KeptSchema, 'name' | 'schema' | 'describes'>,
    owner: string,
    nowMs: number,
  ): { readonly kept: KeptSchema; readonly isNew: boolean } {
    if (Object.hasOwn(commonSchemas, name))
      throw new ToolError('conflict', `"${name}" is a schema that comes with the fleet.`, {
        hint: 'Take another name.',
      });
    requireCheckable(schema);
    const versions = this.#all.filter((one) => one.name === name);
    const newest = versions.at(-1);
    if (newest && newest.owner !== owner)
      throw new ToolError('forbidden', `The schema "${name}" belongs to another token.`, {
        hint: 'Take another name.',
      });
    if (newest && JSON.stringify([newest.schema, newest.describes]) === JSON.stringify([schema, describes]))
      return { kept: newest, isNew: false };
    const own = this.#all.filter((one) => one.owner === owner).length;
    if (own >= mostOfToken || this.#all.length >= mostInAll || versions.length >= mostVersions)
      throw new ToolError(
        'too_large',
        `A token keeps ${mostOfToken} schemas, each in ${mostVersions} versions.`,
        {
          hint: 'Remove one: DELETE /api/v1/schemas/{name}.',
        },
      );
    const added = {
      name,
      version: (newest?.version ?? 0) + 1,
      owner,
      describes,
      schema: { ...schema },
      registered_at: new Date(nowMs).toISOString(),
    };
    this.#write([...this.#all, added]);
    return { kept: added, isNew: true };
  }

  /** All versions of it. @throws ToolError */
  remove(name: string, owner: string): number {
    const own = this.#all.filter((one) => one.name === name);
    if (own.length === 0) this.get(name);
    if (own.length === 0 || own[0]?.owner !== owner)
      throw new ToolError('forbidden', `The schema "${name}" belongs to another.`);
    this.#write(this.#all.filter((one) => one.name !== name));
    return own.length;
  }

  #write(all: readonly KeptSchema[]): void {
    writeFileAtomic(this.#file, JSON.stringify({ schemas: all }), 0o600);
    this.#all = all;
  }
}

const beginning = new Date(0).toISOString();

function common(name: string): KeptSchema | undefined {
  const found = Object.hasOwn(commonSchemas, name) ? commonSchemas[name] : undefined;
  if (!found) return undefined;
  const { describes, schema } = found;
  return {
    name,
    version: 1,
    owner: '',
    describes,
    schema,
    registered_at: beginning,
  };
}

function readAll(path: string): readonly KeptSchema[] {
  try {
    return file.parse(JSON.parse(readFileSync(path, 'utf8'))).schemas;
  } catch (cause) {
    throw new DamagedDataError(`${path} is not what was written there: restore it, or take it away.`, {
      cause,
    });
  }
}
