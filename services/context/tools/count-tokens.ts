import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { counted, countedBy, encodingField, textField, tokensOut } from '../fields.ts';
import { maxTextLength, requireAtMost } from '../limits.ts';
import { conversationTokens, linesOf, messagesField } from '../tokens/messages.ts';
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
    encoding: encodingField,
  }),
  output: z.object({
    tokens: tokensOut('Tokens in all.'),
    characters: z.int().describe('Length, of messages as JSON.'),
    ...counted,
  }),

  async handler({ text, messages, encoding }, store: Store, call) {
    if ((text === undefined) === (messages === undefined)) {
      throw new ToolError('invalid_input', 'Give either text or messages.');
    }
    const characters = text?.length ?? linesOf(messages ?? []).reduce((sum, line) => sum + line.length, 0);
    requireAtMost(characters, maxTextLength, 'Characters to count');
    const tokenizer = await store.tokenizer(encoding);
    const tokens = await store.inTurns(
      call,
      text === undefined ? conversationTokens(tokenizer, messages ?? []) : tokenizer.count(text),
    );
    // What surrounds messages differs between models.
    return { tokens, characters, encoding, exact: countedBy(tokenizer).exact && messages === undefined };
  },
});
