/** That no result takes more tokens than its budget, counted again from the result, and that nothing of the original is lost. */
import fc from 'fast-check';
import { expect, test } from 'vitest';

import { callOf, testStore } from './store.fixture.ts';

interface Counted {
  readonly tokens: number;
}

const words = fc.constantFrom(
  'the ',
  'quick ',
  'brown. ',
  'Fox\n',
  '\n\n',
  '東京は',
  '🎉',
  'été ',
  'x'.repeat(40),
  '= {};\n',
  '   ',
  '!',
  '12345 ',
);
const prose = fc.array(words, { maxLength: 200 }).map((parts) => parts.join(''));
const encoding = fc.constantFrom('o200k_base', 'cl100k_base', 'claude');
const keep = fc.record({
  level: fc.constantFrom('session', 'ephemeral'),
  session_id: fc.constantFrom('a', 'b'),
});
const runs = { numRuns: 150 };

const open = () => {
  const store = testStore();
  const call = callOf(store);
  const count = async (text: string, name: string) =>
    (await call<Counted>('count_tokens', { text, encoding: name })).tokens;
  const original = async (handle: string) =>
    (await call<{ text: string }>('read_output', { handle, limit: 500_000 })).text;
  return { store, call, count, original, [Symbol.dispose]: () => store[Symbol.dispose]() };
};

test.each(['head', 'tail', 'middle', 'sentence'])('truncate_to_budget by %s', async (strategy) => {
  using context = open();
  await fc.assert(
    fc.asyncProperty(
      prose,
      fc.integer({ min: 1, max: 120 }),
      encoding,
      keep,
      async (text, budget, name, kept) => {
        const cut = await context.call<{
          text: string;
          tokens: number;
          original_tokens: number;
          handle?: string;
        }>('truncate_to_budget', { text, token_budget: budget, strategy, encoding: name, ...kept });

        expect(await context.count(cut.text, name)).toBe(cut.tokens);
        expect(cut.tokens).toBeLessThanOrEqual(budget);
        expect(cut.handle === undefined ? cut.text : await context.original(cut.handle)).toBe(text);
      },
    ),
    runs,
  );
});

test('chunk_text, whose chunks joined are the text', async () => {
  using context = open();
  const boundary = fc.constantFrom('paragraph', 'sentence', 'line', 'word');
  await fc.assert(
    fc.asyncProperty(
      prose,
      fc.integer({ min: 16, max: 80 }),
      fc.nat(60),
      boundary,
      encoding,
      async (text, most, overlap, at, name) => {
        const args = {
          text,
          chunk_tokens: most,
          overlap_tokens: overlap,
          boundary: at,
          encoding: name,
          limit: 3,
        };
        const chunks: { index: number; start: number; end: number; tokens: number; text: string }[] = [];
        for (
          let cursor: string | undefined, isFirst = true;
          isFirst || cursor !== undefined;
          isFirst = false
        ) {
          const page = await context.call<{ chunks: typeof chunks; next_cursor?: string }>('chunk_text', {
            ...args,
            ...(cursor !== undefined && { cursor }),
          });
          chunks.push(...page.chunks);
          cursor = page.next_cursor;
        }

        let reached = 0;
        for (const [index, chunk] of chunks.entries()) {
          expect(await context.count(chunk.text, name)).toBe(chunk.tokens);
          expect(chunk.tokens).toBeLessThanOrEqual(most);
          expect(chunk).toMatchObject({ index, text: text.slice(chunk.start, chunk.end) });
          expect(chunk.start).toBeLessThanOrEqual(reached);
          expect(chunk.end).toBeGreaterThan(reached);
          expect(await context.count(text.slice(chunk.start, reached), name)).toBeLessThanOrEqual(overlap);
          expect(overlap > 0 || chunk.start === reached).toBe(true);
          reached = chunk.end;
        }
        expect(reached).toBe(text.length);
      },
    ),
    runs,
  );
});

test('assemble_context, headings included, with provenance that is true', async () => {
  using context = open();
  const sources = fc.array(prose, { minLength: 1, maxLength: 5 });
  const query = fc.constantFrom('', 'quick fox', '東京', 'nothing of it');
  await fc.assert(
    fc.asyncProperty(
      sources,
      query,
      fc.integer({ min: 1, max: 300 }),
      encoding,
      async (texts, asked, budget, name) => {
        const found = await context.call<{
          context: string;
          tokens: number;
          passages: { source: string; start: number; end: number }[];
          sources: { id: string; handle: string }[];
        }>('assemble_context', {
          sources: texts.map((text, id) => ({ id: `s${id}`, text })),
          query: asked,
          token_budget: budget,
          passage_tokens: 30,
          encoding: name,
        });

        expect(await context.count(found.context, name)).toBe(found.tokens);
        expect(found.tokens).toBeLessThanOrEqual(budget);
        for (const { source, start, end } of found.passages)
          expect(found.context).toContain(texts[Number(source.slice(1))]?.slice(start, end));
        for (const { id, handle } of found.sources)
          expect(await context.original(handle)).toBe(texts[Number(id.slice(1))]);
      },
    ),
    runs,
  );
});

test('compress_output with a budget', async () => {
  using context = open();
  const content = fc.oneof(
    prose,
    fc.json({ maxDepth: 4 }),
    fc
      .array(
        fc.constantFrom(
          'ERROR 12 at x',
          'INFO 1',
          '  at f (a.js:1:2)',
          '✓ passes',
          '✗ fails',
          '+ added',
          '@@ -1 +1 @@',
        ),
        { maxLength: 80 },
      )
      .map((lines) => lines.join('\n')),
  );
  await fc.assert(
    fc.asyncProperty(content, fc.integer({ min: 1, max: 100 }), encoding, async (text, budget, name) => {
      const short = await context.call<{ text: string; tokens: number; handle?: string }>('compress_output', {
        content: text,
        token_budget: budget,
        encoding: name,
      });

      expect(await context.count(short.text, name)).toBe(short.tokens);
      expect(short.tokens).toBeLessThanOrEqual(budget);
      expect(short.handle === undefined ? short.text : await context.original(short.handle)).toBe(text);
    }),
    runs,
  );
});

const conversation = fc
  .array(
    fc.oneof(
      fc.record({ role: fc.constantFrom('system', 'user', 'assistant'), content: prose }),
      fc.record({
        role: fc.constant('assistant'),
        content: fc.tuple(
          fc.record({ type: fc.constant('thinking'), thinking: prose }),
          fc.record({ type: fc.constant('text'), text: prose }),
        ),
      }),
      fc.record({ id: fc.stringMatching(/^[a-z]{6}$/), name: fc.constantFrom('read', 'run'), result: prose }),
    ),
    { minLength: 1, maxLength: 12 },
  )
  .map((parts) =>
    parts.flatMap((part, at): Record<string, unknown>[] =>
      'result' in part
        ? [
            {
              role: 'assistant',
              content: [{ type: 'tool_use', id: `${part.id}${at}`, name: part.name, input: {} }],
            },
            {
              role: 'user',
              content: [{ type: 'tool_result', tool_use_id: `${part.id}${at}`, content: part.result }],
            },
          ]
        : [part],
    ),
  );

test('compact_messages, or a refusal that says how much has to stay', async () => {
  using context = open();
  await fc.assert(
    fc.asyncProperty(
      conversation,
      fc.integer({ min: 1, max: 600 }),
      fc.nat(4),
      encoding,
      async (messages, budget, recent, name) => {
        const compacted = await context
          .call<{
            messages: Record<string, unknown>[];
            tokens: number;
            changes: { index: number; action: string }[];
            handle?: string;
          }>('compact_messages', { messages, token_budget: budget, keep_recent: recent, encoding: name })
          .catch((error: unknown) => error as { code: string });
        expect('code' in compacted ? compacted.code : 'too_large').toBe('too_large');
        if ('code' in compacted) return;

        const again = await context.call<Counted>('count_tokens', {
          messages: compacted.messages,
          encoding: name,
        });
        expect(again.tokens).toBe(compacted.tokens);
        expect(compacted.tokens).toBeLessThanOrEqual(budget);
        // What was not changed is there as it was; what was changed is in its line of the handle.
        const changed = new Set(compacted.changes.map(({ index }) => index));
        const whole = messages.filter((_, index) => !changed.has(index));
        expect(compacted.messages).toEqual(expect.arrayContaining(whole));
        for (const { index } of compacted.changes) {
          const line = { handle: compacted.handle, startLine: index + 1, endLine: index + 1, limit: 500_000 };
          const { text } = await context.call<{ text: string }>('read_output', line);
          expect(JSON.parse(text)).toEqual(messages[index]);
        }
        // A result of a tool stays with its call.
        const json = JSON.stringify(compacted.messages);
        for (const [, id] of json.matchAll(/"tool_use_id":"(\w+)"/g)) expect(json).toContain(`"id":"${id}"`);
      },
    ),
    runs,
  );
});

test('the same input gives the same output, also on another store', async () => {
  using one = open();
  using other = open();
  const text = 'One sentence. Another one.\n'.repeat(200);
  const messages = Array.from({ length: 30 }, (_, at) => ({
    role: at % 2 ? 'assistant' : 'user',
    content: text,
  }));
  const calls: readonly (readonly [string, object])[] = [
    ['truncate_to_budget', { text, token_budget: 50, strategy: 'middle' }],
    ['compress_output', { content: text, token_budget: 50 }],
    [
      'assemble_context',
      {
        sources: [
          { id: 'a', text },
          { id: 'b', text },
        ],
        query: 'another',
        token_budget: 90,
      },
    ],
    ['compact_messages', { messages, token_budget: 12_000 }],
    ['dedupe', { texts: [text, text, `${text}!`] }],
  ];

  for (const [name, args] of calls) {
    const first = await one.call(name, args);
    expect(await one.call(name, args)).toEqual(first);
    expect(await other.call(name, args, { caller: 'somebody', nowMs: 0 })).toEqual(first);
  }
});
