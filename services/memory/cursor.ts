/** Opaque positions in a listing, bound to the tool and the arguments that they were made for. */
import { createHash } from 'node:crypto';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';

const envelope = z.strictObject({ at: z.array(z.union([z.number(), z.string()])), check: z.string() });

type Position = readonly (number | string)[];

/** The arguments are part of the check, so that a cursor of another query is refused and not misread. */
function checkOf(tool: string, args: object, at: Position): string {
  return createHash('sha256')
    .update(JSON.stringify([tool, args, at]))
    .digest('base64url')
    .slice(0, 16);
}

export function encodeCursor(tool: string, args: object, at: Position): string {
  return Buffer.from(JSON.stringify({ at, check: checkOf(tool, args, at) })).toString('base64url');
}

/** @returns the position that `encodeCursor` was given, whose shape the caller therefore knows. */
export function decodeCursor<At extends Position>(
  tool: string,
  args: object,
  cursor: string | undefined,
  start: At,
): At {
  if (cursor === undefined) return start;
  const parsed = envelope.safeParse(parseJson(Buffer.from(cursor, 'base64url').toString()));
  if (!parsed.success || parsed.data.check !== checkOf(tool, args, parsed.data.at)) {
    throw new ToolError('invalid_input', 'The cursor does not belong to this call.', {
      hint: 'Pass next_cursor unchanged and repeat the other arguments, or leave cursor out to start again.',
    });
  }
  return parsed.data.at as unknown as At;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
