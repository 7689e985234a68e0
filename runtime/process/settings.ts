/** Turns the environment into settings, once, at start: a bad or unknown setting stops the process with one clear line. */
import type { z } from 'zod';

import { allProcesses } from '#config/catalogue.ts';
import { hostSettings, type HostSettings } from '#config/settings.ts';

import { ConfigError } from '../errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** `memory` owns every variable that begins with `FLOTILLA_MEMORY_`. */
export function settingsPrefix(service: string): string {
  return `FLOTILLA_${service.toUpperCase().replaceAll('-', '_')}_`;
}

/** @throws ConfigError that names each bad setting and each unknown one. */
export function parseHostSettings(environment: Environment): HostSettings {
  const prefixes = allProcesses.map((entry) => settingsPrefix(entry.name));
  const known = Object.keys(hostSettings.shape);
  rejectUnknown(
    environment,
    known,
    (name) => name.startsWith('FLOTILLA_') && !prefixes.some((prefix) => name.startsWith(prefix)),
  );
  return parse(hostSettings, environment);
}

/** @throws ConfigError that names each bad setting and each unknown one. */
export function parseServiceSettings<Schema extends z.ZodObject>(
  service: string,
  schema: Schema,
  environment: Environment,
): z.output<Schema> {
  const prefix = settingsPrefix(service);
  rejectUnknown(environment, Object.keys(schema.shape), (name) => name.startsWith(prefix));
  return parse(schema, environment);
}

function parse<Schema extends z.ZodObject>(schema: Schema, environment: Environment): z.output<Schema> {
  // An empty variable is an unset one: `NAME=` is how .env files and unit files say "not set".
  const given = Object.keys(schema.shape).flatMap((name) =>
    environment[name] ? [[name, environment[name]]] : [],
  );
  const parsed = schema.safeParse(Object.fromEntries(given));
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${complaint(issue)}`);
  throw new ConfigError(`Bad setting: ${issues.join('; ')}. See config/env.example.`);
}

/** A schema says once what kind of value it wants; that one is too large is said here. */
function complaint(issue: z.core.$ZodIssue): string {
  const isBound = issue.code === 'too_big' || issue.code === 'too_small';
  if (!isBound || !['number', 'int'].includes(issue.origin)) return issue.message;
  return issue.code === 'too_big' ? `must be at most ${issue.maximum}` : `must be at least ${issue.minimum}`;
}

function rejectUnknown(
  environment: Environment,
  known: readonly string[],
  isOurs: (name: string) => boolean,
): void {
  const unknown = Object.keys(environment).filter((name) => isOurs(name) && !known.includes(name));
  if (unknown.length > 0) {
    throw new ConfigError(
      `Unknown setting: ${unknown.join(', ')}. See config/env.example for the names there are.`,
    );
  }
}
