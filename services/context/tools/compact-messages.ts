import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { toldBriefly } from '#runtime/fields.ts';
import { completing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { compact } from '../compress/compact.ts';
import { encodingField, handleOut, keepFields, nameField, tokenField, tokensOut } from '../fields.ts';
import { maxMessagesPerCall, maxTextLength, requireAnswerable, requireAtMost } from '../limits.ts';
import { conversationTokens, lengthOf, linesOf, messagesField } from '../tokens/messages.ts';
import type { Store } from '../store/store.ts';

const changeOut = z.object({
  index: z.int().describe('Of the given messages, from 0.'),
  action: z.enum(['thinking_cleared', 'tool_result_cleared', 'shortened', 'dropped']),
});

/** Of the changes; what is left says of each where its original stands. */
const changesShown = 100;

export const compactMessages = defineTool({
  name: 'compact_messages',
  title: 'Compact Messages',
  description:
    'Make a conversation fit into a token budget: clears old thinking, then old tool results, shortens and at last drops old messages. The original is kept under one handle, one message a line.',
  effect: 'write',
  untrusted: 'bounded',
  hints: completing,
  input: z.object({
    messages: messagesField.min(1).describe('As the APIs of Anthropic or OpenAI have them.'),
    token_budget: tokenField('Most tokens of the result.'),
    keep_recent: z
      .int()
      .min(0)
      .max(maxMessagesPerCall)
      .default(6)
      .describe('How many of the last stay whole.'),
    keep_system: z.boolean().default(true).describe('Whether system messages stay whole.'),
    pinned: z
      .array(z.int().min(0).max(maxMessagesPerCall))
      .max(maxMessagesPerCall)
      .default([])
      .describe('Messages that stay whole, from 0.'),
    exclude_tools: z
      .array(nameField('Tool.'))
      .max(100)
      .default([])
      .describe('Tools whose results are not cleared.'),
    encoding: encodingField,
    ...keepFields,
  }),
  output: z.object({
    messages: z
      .array(z.looseObject({ role: z.string().describe('Who speaks.') }))
      .describe('The conversation that is left.'),
    tokens: tokensOut('Its tokens: models differ.'),
    original_tokens: tokensOut('Tokens before.'),
    changed: z.int().describe('Messages that are not as they were.'),
    changes: z
      .array(toldBriefly(changeOut, 'index'))
      .describe(
        `The first ${changesShown} of them, with action: thinking_cleared, tool_result_cleared, shortened or dropped.`,
      ),
    handle: handleOut,
  }),

  async handler({ messages, token_budget: budget, encoding, ...args }, store: Store, call) {
    const {
      keep_recent: keepRecent,
      keep_system: keepSystem,
      pinned,
      exclude_tools: excludeTools,
      ...keep
    } = args;
    const missing = pinned.find((index) => index >= messages.length);
    if (missing !== undefined) {
      throw new ToolError('invalid_input', `pinned: there is no message ${missing}.`, {
        hint: `Messages are counted from 0; the last of these is ${messages.length - 1}.`,
      });
    }
    const original = linesOf(messages).join('\n');
    requireAtMost(original.length, maxTextLength, 'Characters of messages as JSON');
    const tokenizer = await store.tokenizer(encoding);
    const size = original.length;
    const originalTokens = await store.inTurns(call, size, conversationTokens(tokenizer, messages));
    const handle = await store.handleFor(original, keep, call);
    const rules = { budget, keepRecent, keepSystem, pinned, excludeTools };
    const compacted = await store.inTurns(call, size, compact(tokenizer, messages, handle, rules));
    if (!compacted.messages) {
      throw new ToolError(
        'too_large',
        `What has to stay takes ${compacted.tokens} tokens, more than ${budget}.`,
        {
          hint: 'Raise token_budget, lower keep_recent, pin less, or pass keep_system: false.',
        },
      );
    }
    const { changes, tokens } = compacted;
    requireAnswerable(lengthOf(compacted.messages));
    if (changes.length > 0) await store.keep([original], keep, call);
    return {
      messages: [...compacted.messages],
      tokens,
      original_tokens: originalTokens,
      changed: changes.length,
      changes: changes.slice(0, changesShown),
      ...(changes.length > 0 && { handle }),
    };
  },
});
