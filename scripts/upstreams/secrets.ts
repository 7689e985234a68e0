/** Secrets of upstreams: taken out of their entries, and kept in a file for its owner alone. */
import { existsSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';

import { ConfigError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';
import { redacted } from '#runtime/redaction.ts';

import type { UpstreamEntry } from '../../gateway/foreign/upstreams-file.ts';

/** By the names of their variables. */
export type Secrets = Readonly<Record<string, string>>;

const secretName = /(?:key|token|secret|passw|pwd|credential|cookie|auth|bearer|dsn|connection[-_]?string)/i;
const isReference = (value: string) => /^[^$]*\$\{[^}]*\}[^$]*$/.test(value);

/** The entry with `${NAME}` in place of each value that is, by its name or its form, a secret. */
export function withoutSecrets(
  upstream: string,
  entry: UpstreamEntry,
): { readonly entry: UpstreamEntry; readonly secrets: Secrets } {
  const secrets: Record<string, string> = {};
  const aside = (name: string, value: string) => {
    const variable = `${upstream}_${name}`.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_');
    secrets[variable] = value.replaceAll('$${', '${');
    return `\${${variable}}`;
  };
  const each = (values: Readonly<Record<string, string>>) =>
    Object.fromEntries(
      Object.entries(values).map(([name, value]) => [
        name,
        isSecret(name, value) ? aside(name, value) : value,
      ]),
    );
  if ('url' in entry) {
    const url = URL.parse(entry.url);
    const parts = [...(url?.searchParams ?? [])].filter(([name, value]) => isSecret(name, value));
    const bare = parts.reduce(
      (text, [name, value]) =>
        text.replace(encodeURIComponent(value), aside(name, encodeURIComponent(value))),
      entry.url,
    );
    const changed = { ...entry, url: bare, ...(entry.headers && { headers: each(entry.headers) }) };
    return { entry: changed, secrets };
  }
  const args = entry.args?.map((arg, index, all) => {
    const [, flag, value] = /^(--?[\w-]+)=(.+)$/s.exec(arg) ?? [];
    if (flag !== undefined && value !== undefined && isSecret(flag, value))
      return `${flag}=${aside(flag, value)}`;
    const before = all[index - 1] ?? '';
    const isValue = /^--?[a-z][\w-]*$/i.test(before) && secretName.test(before) && !arg.startsWith('-');
    return !isReference(arg) && (isValue || isToken(arg))
      ? aside(isValue ? before : `arg_${index}`, arg)
      : arg;
  });
  const changed = { ...entry, ...(args && { args }), ...(entry.env && { env: each(entry.env) }) };
  return { entry: changed, secrets };
}

const isSecret = (name: string, value: string): boolean =>
  value !== '' && !isReference(value) && (secretName.test(name) || isToken(value));

/** By its form: a key of a known maker, a password in an address. */
const isToken = (value: string): boolean => redacted(value) !== value;

/**
 * Adds them to those that are there.
 *
 * @throws ConfigError for a value that no such file can hold.
 */
export function keepSecrets(file: string, secrets: Secrets): void {
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const there = parseEnv(before);
  const due = Object.entries(secrets).filter(([name, value]) => there[name] !== value);
  if (due.length === 0) return;
  const kept = before
    .split('\n')
    .filter((line) => !due.some(([name]) => line.startsWith(`${name}=`)) && line !== '');
  const added = due.map(([name, value]) => {
    if (/['\n\r\0]/.test(value))
      throw new ConfigError(
        `The value of ${name} has a quotation mark or a line end in it: put it into a file, and name that as \${file:/path}.`,
      );
    return `${name}='${value}'`;
  });
  writeFileAtomic(file, `${[...kept, ...added].join('\n')}\n`, 0o600);
}
