/** Messages of a conversation, as the APIs of Anthropic and OpenAI have them, and what they cost. */
import { z } from 'zod';

import type { Steps } from '#runtime/turns.ts';

import { maxDepth, maxMessagesPerCall } from '../limits.ts';
import type { Tokenizer } from './tokenizer.ts';

const block = z.looseObject({
  type: z.string().max(100).describe('Such as text or tool_result.'),
});

/** Everything that is not named here is kept as it is. */
const message = z.looseObject({
  role: z.string().min(1).max(100).describe('Such as system or user.'),
  content: z
    .union([z.string(), z.array(block).max(1_000), z.null()])
    .optional()
    .describe('Text or blocks.'),
});

export type Block = z.output<typeof block>;
export type Message = z.output<typeof message>;

/** Counted without recursion, which what is too deep would break. */
function isShallow(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maxDepth) return false;
    level = level.flatMap((each) => (typeof each === 'object' && each !== null ? Object.values(each) : []));
  }
  return true;
}

/** Refuses what is nested too deeply to be written out. */
export const shallow = <Schema extends z.ZodType>(schema: Schema) =>
  schema.refine(isShallow, `must not be nested deeper than ${maxDepth}`);

export const messagesField = shallow(z.array(message).max(maxMessagesPerCall));

export const blocksOf = ({ content }: Message): readonly Block[] => (Array.isArray(content) ? content : []);

/** What OpenAI's cookbook counts around a message, and around all of them for the reply. */
const perMessage = 4;
export const perConversation = 3;
/** About the most that a picture costs in either API; its bytes are not read as text. */
const perImage = 1_600;
const pictures = new Set(['image', 'image_url', 'input_image']);

export function* messageTokens(tokenizer: Tokenizer, { role, content, ...rest }: Message): Steps<number> {
  let tokens = perMessage + (yield* tokenizer.count(role));
  if (typeof content === 'string') tokens += yield* tokenizer.count(content);
  for (const each of Array.isArray(content) ? content : []) tokens += yield* blockTokens(tokenizer, each);
  if (Object.keys(rest).length > 0) tokens += yield* tokenizer.count(JSON.stringify(rest));
  return tokens;
}

function* blockTokens(tokenizer: Tokenizer, block: Block): Steps<number> {
  if (pictures.has(block.type)) return perImage;
  const text = block['text'];
  const isPlain = block.type === 'text' && typeof text === 'string';
  return yield* tokenizer.count(isPlain ? text : JSON.stringify(block));
}

export function* conversationTokens(tokenizer: Tokenizer, messages: readonly Message[]): Steps<number> {
  let tokens = perConversation;
  for (const each of messages) tokens += yield* messageTokens(tokenizer, each);
  return tokens;
}

/** The messages as JSON, one a line, which is what limits and stores see of them. */
export const linesOf = (messages: readonly Message[]) => messages.map((each) => JSON.stringify(each));

export const lengthOf = (messages: readonly Message[]) =>
  linesOf(messages).reduce((sum, line) => sum + line.length, 0);
