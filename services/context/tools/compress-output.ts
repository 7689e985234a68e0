import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { completing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { compressors, kindOf, kinds, type Kind } from '../compress/compress.ts';
import { compressJson } from '../compress/compress-json.ts';
import {
  encodingField,
  exactOut,
  handleOut,
  keepFields,
  textField,
  tokenField,
  tokensOut,
} from '../fields.ts';
import { answerTokens, maxTextLength, requireAnswerable, requireAtMost } from '../limits.ts';
import { linesOf } from '../lines.ts';
import type { Store } from '../store/store.ts';
import { truncate } from '../tokens/truncate.ts';

export const compressOutput = defineTool({
  name: 'compress_output',
  title: 'Compress Output',
  description:
    'Shorten the output of a tool by what it is: repeated log lines are counted, JSON keeps its shape, diffs their changes, tests their failures. The original is kept under a handle.',
  effect: 'write',
  untrusted: 'bounded',
  hints: completing,
  input: z.object({
    content: textField('The output.'),
    kind: z
      .enum(['auto', ...kinds])
      .default('auto')
      .describe('What it is; auto looks.'),
    token_budget: tokenField('Most tokens of the result.').default(answerTokens),
    encoding: encodingField,
    ...keepFields,
  }),
  output: z.object({
    text: z.string().describe('What is left.'),
    kind: z.enum(kinds).describe('What it was taken for.'),
    tokens: tokensOut(),
    original_tokens: tokensOut('Tokens before.'),
    handle: handleOut,
    exact: exactOut,
  }),
  text: ({ text }) => text,

  async handler({ content, kind: asked, token_budget: budget, encoding, ...keep }, store: Store, call) {
    requireAtMost(content.length, maxTextLength, 'Characters of content');
    const tokenizer = await store.tokenizer(encoding);
    const handle = await store.handleFor(content, keep, call);
    const mark = `\n[shortened: read_output ${handle}]\n`;
    const shortest = await store.inTurns(
      call,
      content.length,
      (function* () {
        const { kind, text } = yield* compressed(content, asked);
        const originalTokens = yield* tokenizer.count(content);
        const shorter = text + mark;
        const tokens = yield* tokenizer.count(shorter);
        // What says more than it saves is left as it was.
        const best =
          tokens < originalTokens ? { text: shorter, tokens } : { text: content, tokens: originalTokens };
        const kept =
          best.tokens <= budget ? best : yield* truncate(tokenizer, best.text, budget, 'middle', mark);
        return { ...kept, kind, originalTokens };
      })(),
    );
    requireAnswerable(shortest.text.length);
    const isWhole = shortest.text === content;
    if (!isWhole) await store.keep([content], keep, call);
    return {
      text: shortest.text,
      kind: shortest.kind,
      tokens: shortest.tokens,
      original_tokens: shortest.originalTokens,
      ...(!isWhole && { handle }),
      exact: tokenizer.exact,
    };
  },
});

/** @throws ToolError invalid_input when it is no JSON though the caller said so. */
function* compressed(content: string, asked: 'auto' | Kind): Steps<{ kind: Kind; text: string }> {
  if (asked === 'auto' || asked === 'json') {
    const text = yield* compressJson(content);
    if (text !== undefined) return { kind: 'json', text };
    if (asked === 'json') {
      throw new ToolError('invalid_input', 'The content is no JSON object or array.', {
        hint: 'Pass kind: auto.',
      });
    }
  }
  const kind = asked === 'auto' ? yield* kindOf(content) : asked;
  return { kind, text: (yield* compressors[kind](linesOf(content))).join('\n') };
}
