/** How to use a service well, as its author wrote it down in `SKILL.md` beside `service.ts`: for models that load it (SEP-2640). */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export const skillsExtension = 'io.modelcontextprotocol/skills';

/** One entry of `skills/list`. */
export interface Skill {
  readonly uri: string;
  /** As at the top of the file: its name, and when to use it. */
  readonly frontmatter: { readonly name: string; readonly description: string };
  readonly text: string;
  readonly sizeBytes: number;
  readonly digest: string;
}

const beginning = /^---\nname: ([a-z0-9-]+)\ndescription: ([^:#\n]+)\n---\n/;

/** The one beside a module, which passes its `import.meta.url`. @throws Error for a file without name and description. */
export function skillBeside(module: string): Skill {
  return skillOf(readFileSync(new URL('SKILL.md', module), 'utf8'));
}

export function skillOf(text: string): Skill {
  const [, name, description] = beginning.exec(text) ?? [];
  if (name === undefined || description === undefined)
    throw new Error(
      'SKILL.md begins with name and description between lines of ---, the latter without ":" and "#".',
    );
  return {
    uri: `skill://${name}/SKILL.md`,
    frontmatter: { name, description },
    text,
    sizeBytes: Buffer.byteLength(text),
    digest: `sha256:${createHash('sha256').update(text).digest('hex')}`,
  };
}
