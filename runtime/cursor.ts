/** Opaque positions in a listing, for the tool and the arguments that they were made for. */
import { hash } from 'node:crypto';

import { z } from 'zod';

import { ToolError } from './errors.ts';

const envelope = z.strictObject({ at: z.unknown(), check: z.string() });

type Position = readonly (number | string)[];

/**
 * Tells a cursor of another query, so that it is refused and not misread. It is no signature: who makes a cursor of
 * their own reads on from a place of their own, in what they may read anyway.
 */
function checkOf(tool: string, args: object, at: unknown): string {
  return hash('sha256', JSON.stringify([tool, args, at]), 'base64url').slice(0, 16);
}

export function encodeCursor(tool: string, args: object, at: Position): string {
  return Buffer.from(JSON.stringify({ at, check: checkOf(tool, args, at) })).toString('base64url');
}

/** @returns a position of this shape, or where to start without a cursor. @throws ToolError invalid_input. */
export function decodeCursor<At extends Position>(
  tool: string,
  args: object,
  cursor: string | undefined,
  shape: z.ZodType<At>,
  start: At,
): At {
  if (cursor === undefined) return start;
  const parsed = envelope.safeParse(parseJson(Buffer.from(cursor, 'base64url').toString()));
  const at = shape.safeParse(parsed.data?.at);
  if (!parsed.success || !at.success || parsed.data.check !== checkOf(tool, args, parsed.data.at)) {
    throw new ToolError('invalid_input', 'The cursor does not belong to this call.', {
      hint: 'Pass next_cursor unchanged and repeat the other arguments, or leave cursor out to start again.',
    });
  }
  return at.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
