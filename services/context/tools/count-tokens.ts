import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { exactOut, textField, tokensOut } from '../fields.ts';
import { maxTextLength, requireAtMost } from '../limits.ts';
import { conversationTokens, lengthOf, messagesField, type Message } from '../tokens/messages.ts';
import { encodingNames, type EncodingName } from '../tokens/tokenizer.ts';
import type { Store } from '../store/store.ts';

export const countTokens = defineTool({
  name: 'count_tokens',
  title: 'Count Tokens',
  description:
    'Count the tokens of a text, or of messages with what surrounds them. Exact for OpenAI encodings; for Claude an estimate from above.',
  effect: 'read',
  hints: reading,
  input: z.object({
    text: textField('The text; special tokens in it count as plain text.').optional(),
    messages: messagesField.optional().describe('Instead of text: messages of a conversation.'),
    encoding: z
      .enum(encodingNames)
      .default('o200k_base')
      .describe('Tokenizer: o200k_base for GPT-4o and later; claude estimates.'),
  }),
  output: z.object({
    tokens: tokensOut('Tokens in all.'),
    characters: z.int().describe('Length, of messages as JSON.'),
    encoding: z.enum(encodingNames).describe('Tokenizer that counted.'),
    exact: exactOut,
  }),

  handler({ text, messages, encoding }, store: Store, call) {
    if (text === undefined ? messages === undefined : messages !== undefined) {
      throw new ToolError('invalid_input', 'Give either text or messages.');
    }
    const characters = text?.length ?? lengthOf(messages ?? []);
    requireAtMost(characters, maxTextLength, 'Characters to count');
    // What surrounds messages differs between models.
    const answer = (tokens: number) => ({
      tokens,
      characters,
      encoding,
      exact: encoding !== 'claude' && text !== undefined,
    });
    const tokens =
      text === undefined
        ? countMessages(messages ?? [], characters, encoding, store, call)
        : store.count(encoding, text, call);
    return typeof tokens === 'number' ? answer(tokens) : tokens.then(answer);
  },
});

async function countMessages(
  messages: readonly Message[],
  characters: number,
  encoding: EncodingName,
  store: Store,
  call: Parameters<Store['count']>[2],
): Promise<number> {
  const tokenizer = await store.tokenizer(encoding);
  return store.inTurns(call, characters, conversationTokens(tokenizer, messages));
}
