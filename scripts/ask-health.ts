/** Asks the process that watches the fleet, over HTTP with the token of the command line. */
import { z } from 'zod';

import { entryOf } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { ConfigError, UnavailableError, UsageError } from '#runtime/errors.ts';

import { findToken, urlOf } from './environment.ts';
import { ownCommand } from './own-command.ts';

/** Longer than it waits for webhooks. */
const deadlineMs = 20_000;

const refusalSchema = z.object({ error: z.string() });

/**
 * `body` makes it a POST, which takes a token that may do everything.
 *
 * @throws UsageError for what it says cannot be meant, ConfigError for a token that may not, UnavailableError where it does not
 * answer.
 */
export async function askHealth<Answer>(
  host: HostSettings,
  path: `/${string}`,
  schema: z.ZodType<Answer>,
  body?: unknown,
): Promise<Answer> {
  const entry = entryOf('health');
  if (!entry) throw new ConfigError('This fleet has no health.');
  const site = urlOf(entry, host);
  const token = findToken(host);
  let response: Response;
  let said: unknown;
  try {
    response = await fetch(`${site}${path}`, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
      redirect: 'error',
      signal: AbortSignal.timeout(deadlineMs),
    });
    said = await response.json().catch(() => undefined);
  } catch (cause) {
    throw new UnavailableError(`Health does not answer at ${site}. See: ${ownCommand()} status`, { cause });
  }
  if (response.ok) {
    const answer = schema.safeParse(said);
    if (answer.success) return answer.data;
    throw new UnavailableError(`What answers at ${site} is another program, or another version of health.`);
  }
  const { error = '' } = refusalSchema.safeParse(said).data ?? {};
  if (response.status === 400 || response.status === 404)
    throw new UsageError(error || `Health answers ${response.status}.`);
  const scope = body === undefined ? 'health:read' : "'*'";
  const remedy =
    response.status === 401 || response.status === 403
      ? ` Make one that may: ${ownCommand()} token create NAME --allow ${scope}`
      : '';
  throw new ConfigError(`Health answers ${response.status}: ${error}${remedy}`);
}
