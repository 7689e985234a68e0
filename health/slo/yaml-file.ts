/** The only import of `yaml`: files that an operator writes, checked, with file, line and field in every complaint. */
import { readFileSync, statSync } from 'node:fs';

import { isNode, LineCounter, parseAllDocuments, stringify, type Document } from 'yaml';
import type { z } from 'zod';

import { ConfigError } from '#runtime/errors.ts';

const mostBytes = 256 * 1024;

/** Each document of a file, in its order. @throws ConfigError that names file, line, field and remedy. */
export function readYaml<Value>(file: string, schema: z.ZodType<Value>): readonly Value[] {
  let text: string;
  try {
    const found = statSync(file);
    // Reading from a pipe or a device might never end.
    if (!found.isFile()) throw new ConfigError(`${file} is no file. Remove it, or put a file there.`);
    if (found.size > mostBytes) throw new ConfigError(`${file} is longer than ${mostBytes} bytes.`);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`${file} cannot be read (${code}): check its owner and permissions.`, {
      cause: error,
    });
  }
  return parseYaml(text, file, schema);
}

export function parseYaml<Value>(text: string, file: string, schema: z.ZodType<Value>): readonly Value[] {
  const lines = new LineCounter();
  // An alias could stand for more text than any file has.
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true });
  const found: readonly Document.Parsed[] = Array.isArray(documents) ? documents : [];
  const at = (offset: number) => `${file}, line ${lines.linePos(offset).line}`;
  return found.flatMap((document) => {
    const [error] = document.errors;
    if (error)
      throw new ConfigError(`${at(error.pos[0])}: ${error.message.split(/ at line|\n/)[0]}. Mend it there.`);
    if (document.contents === null) return [];
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: 20 });
    } catch (cause) {
      throw new ConfigError(`${file}: ${(cause as Error).message}. Write it out instead.`, { cause });
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return [parsed.data];
    const [issue] = parsed.error.issues;
    const path = pathOf(issue);
    throw new ConfigError(
      `${at(offsetOf(document, path))}, ${path.join('.') || 'the whole file'}: ${messageOf(issue)}.`,
    );
  });
}

/** As YAML, for files that are generated. */
export const yamlText = (value: unknown): string =>
  stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });

type Issue = z.core.$ZodIssue | undefined;

function pathOf(issue: Issue): readonly PropertyKey[] {
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  return [...(issue?.path ?? []), ...unknown];
}

function messageOf(issue: Issue): string {
  return issue?.code === 'unrecognized_keys'
    ? 'there is no such field here'
    : (issue?.message ?? 'is not valid');
}

/** Of the innermost part of the path that is there. */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length -= 1) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return document.range[0];
}
