import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { maxDiagramThoughts, maxThoughtLength, maxThoughtsPerImport } from '../limits.ts';
import { contentOf, longSession, memoryStore, sessionWith } from '../store.fixture.ts';
import type { Store } from '../store.ts';
import { compareBranches, getSummary } from './outline.ts';
import { startSession } from './sessions.ts';
import { exportSession, importSession } from './transfer.ts';

const storableText = (constraints: fc.StringConstraints) =>
  fc.string({ unit: 'binary', ...constraints }).filter((text) => text.isWellFormed() && !text.includes('\0'));
const number = fc.integer({ min: 1, max: 6 });
const branchId = fc.constantFrom('a', 'b', '__proto__', 'constructor', '', '</x>"\n');
const thoughts = fc.array(
  fc.record(
    {
      thought: storableText({ maxLength: 40 }),
      nextThoughtNeeded: fc.boolean(),
      thoughtNumber: number,
      totalThoughts: number,
      isRevision: fc.boolean(),
      revisesThought: number,
      branchFromThought: number,
      branchId,
      needsMoreThoughts: fc.boolean(),
    },
    { requiredKeys: ['thought', 'nextThoughtNeeded', 'thoughtNumber', 'totalThoughts'] },
  ),
  { maxLength: 15 },
);

/** All parts of a document. */
async function exported(store: Store, session: string, args: object = {}): Promise<string[]> {
  const parts: string[] = [];
  for (let cursor: string | undefined; ;) {
    const part = await invoke(exportSession, { session_id: session, ...args, cursor }, store);
    parts.push(part.content);
    if (!part.next_cursor) return parts;
    cursor = part.next_cursor;
  }
}

async function imported(store: Store, parts: readonly string[]): Promise<string> {
  let session: string | undefined;
  for (const content of parts)
    session = (await invoke(importSession, { content, session_id: session }, store)).session_id;
  return session ?? '';
}

describe('json', () => {
  test('comes back exactly as it went, in one part or in many', async () => {
    await fc.assert(
      fc.asyncProperty(
        thoughts,
        fc.option(storableText({ maxLength: 30 })),
        number,
        async (said, title, limit) => {
          using store = memoryStore();
          const { session_id: original } = await invoke(startSession, { title: title ?? undefined }, store);
          await invoke(
            importSession,
            { content: JSON.stringify({ thoughts: said }), session_id: original },
            store,
          );

          const parts = await exported(store, original, { limit });
          const copy = await imported(store, parts);

          expect(await exported(store, copy, { limit })).toEqual(parts);
          const shown = async (handle: string) => {
            const summary = await invoke(getSummary, { session_id: handle }, store);
            const compared = await invoke(compareBranches, { session_id: handle }, store);
            return JSON.stringify({ summary, compared }).replaceAll(handle, 'handle');
          };
          expect(await shown(copy)).toBe(await shown(original));
        },
      ),
    );
  });

  test('keeps what each thought was given, its time and the title', async () => {
    using store = memoryStore();
    const thought = {
      thoughtNumber: 1,
      totalThoughts: 2,
      nextThoughtNeeded: false,
      thought: 'Ünïcödé 💡',
      at: '2020-01-01T00:00:00.000Z',
    };

    const { session_id: session } = await invoke(
      importSession,
      { content: JSON.stringify({ title: 'T', thoughts: [thought] }) },
      store,
    );

    expect(JSON.parse((await exported(store, session)).join(''))).toEqual({
      version: 1,
      title: 'T',
      from: 1,
      thoughts: [thought],
    });
  });

  test('of the largest thoughts comes in parts that a request can carry, and comes back', async () => {
    using store = memoryStore();
    const session = longSession(store, 12, () => ({ thought: '\u0001'.repeat(maxThoughtLength) }));

    const parts = await exported(store, session);
    const copy = await imported(store, parts);

    expect(parts.length).toBeGreaterThan(1);
    for (const content of parts)
      expect(Buffer.byteLength(JSON.stringify({ content }))).toBeLessThan(3_500_000);
    expect(await exported(store, copy)).toEqual(parts);
  });

  test.each([
    ['no JSON', '{"thoughts": [', 'not valid JSON'],
    ['nothing', '', 'not valid JSON'],
    ['something else', '[]', 'expected object'],
    ['an unknown key', '{"thoughts": [], "secrets": 1}', 'secrets'],
    ['a polluting key', '{"thoughts": [], "__proto__": {"title": 1}}', ''],
    ['a newer version', '{"version": 2, "thoughts": []}', 'version'],
    ['a bad thought', '{"thoughts": [{"thought": "x"}]}', 'thoughts.0.nextThoughtNeeded'],
    ['a bad time', thoughtJson({ at: 'yesterday' }), 'thoughts.0.at'],
    ['a NUL', thoughtJson({ thought: 'a\0b' }), 'thoughts.0.thought'],
    ['half a surrogate pair', thoughtJson({ branchId: '\ud800' }), 'thoughts.0.branchId'],
    ['deep nesting', '['.repeat(30_000), 'not valid JSON'],
    ['more values than thoughts can have', '['.repeat(500_000), 'keys and values'],
    [
      'too many thoughts',
      JSON.stringify({ thoughts: Array.from({ length: maxThoughtsPerImport + 1 }, () => 1) }),
      'thoughts',
    ],
  ])('is refused with the reason, and nothing is imported: %s', async (_name, content, reason) => {
    using store = memoryStore();

    const call = invoke(importSession, { content }, store);

    await expect(call).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining(reason) as string,
    });
    expect(contentOf(store)).toEqual([]);
  });

  test.each([
    ['a part without the parts before it', { from: 3, thoughts: [] }, undefined],
    ['a first part for a session with thoughts', { thoughts: [] }, 'session'],
  ])('is a conflict, and nothing is imported: %s', async (_name, document, into) => {
    using store = memoryStore();
    const session = await sessionWith(store, {});
    const before = contentOf(store);

    const args = { content: JSON.stringify(document), ...(into && { session_id: session }) };

    await expect(invoke(importSession, args, store)).rejects.toMatchObject({ code: 'conflict' });
    expect(contentOf(store)).toEqual(before);
  });

  test('with one thought that is too long imports none', async () => {
    using store = memoryStore();
    const plain = { thought: 'fine', nextThoughtNeeded: true, thoughtNumber: 1, totalThoughts: 1 };
    const content = JSON.stringify({
      thoughts: [plain, { ...plain, thought: 'x'.repeat(maxThoughtLength + 1) }],
    });

    await expect(invoke(importSession, { content }, store)).rejects.toMatchObject({ code: 'too_large' });

    expect(contentOf(store)).toEqual([]);
  });

  test('warns of thoughts that refer to none, as when they were said', async () => {
    using store = memoryStore();

    const { warnings } = await invoke(
      importSession,
      { content: thoughtJson({ isRevision: true, revisesThought: 9 }) },
      store,
    );

    expect(warnings).toEqual([
      'Thought at position 1: revisesThought: there is no thought 9 in this session.',
    ]);
  });
});

function thoughtJson(said: object): string {
  const plain = { thought: 'x', nextThoughtNeeded: true, thoughtNumber: 1, totalThoughts: 1 };
  return JSON.stringify({ thoughts: [{ ...plain, ...said }] });
}

const hostile =
  '"]\n  t1 --> t9\n%%{init: {}}%%\n`end`; click t1 "javascript:alert(1)" <script>x</script> #quot; 💡\u2028end';

describe('mermaid', () => {
  // All that a diagram may hold: whatever a text says, it stays within its quotes, without a quote, a tag or a line of its own.
  const safe = '[\\p{L}\\p{N} .,:…]|#\\d+;';
  const line = new RegExp(
    `^(flowchart TD|  t\\d+\\["(${safe})*"\\]|  t\\d+ -->(\\|"(${safe})+"\\| )?t\\d+|  t\\d+ -\\.->\\|revises\\| t\\d+)$`,
    'u',
  );

  test('draws thoughts, branches and revisions', async () => {
    using store = memoryStore();
    const session = await sessionWith(
      store,
      { thought: 'Why?' },
      { thought: 'So.' },
      { thoughtNumber: 2, thought: 'Or so.', branchFromThought: 1, branchId: 'other' },
      { thoughtNumber: 3, thought: 'No.', isRevision: true, revisesThought: 1 },
    );

    expect((await exported(store, session, { format: 'mermaid' })).join('')).toBe(
      [
        'flowchart TD',
        '  t1["1: Why#63;"]',
        '  t2["2: So."]',
        '  t1 -->t2',
        '  t3["2: Or so."]',
        '  t1 -->|"other"| t3',
        '  t4["3: No."]',
        '  t2 -->t4',
        '  t4 -.->|revises| t1',
        '',
      ].join('\n'),
    );
  });

  test('holds hostile text within its labels', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.constant(hostile), storableText({ maxLength: 100 })),
        fc.oneof(fc.constant(hostile.slice(0, 128)), storableText({ maxLength: 100 })),
        async (thought, branch) => {
          using store = memoryStore();
          const session = await sessionWith(
            store,
            { thought },
            { thought, branchFromThought: 1, branchId: branch },
          );

          const [diagram = ''] = await exported(store, session, { format: 'mermaid' });

          for (const written of diagram.trimEnd().split('\n')) expect(written).toMatch(line);
        },
      ),
      {
        examples: [
          ['So.', '\t'],
          [' ', ' \n'],
        ],
      },
    );
  });

  test('of a long session comes in parts that are diagrams of their own, within what Mermaid draws', async () => {
    using store = memoryStore();
    const session = longSession(store, 2 * maxDiagramThoughts + 1, () => ({ thought: '"'.repeat(200) }));

    const parts = await exported(store, session, { format: 'mermaid' });

    expect(parts.length).toBeGreaterThan(2);
    for (const part of parts) {
      expect(part).toMatch(/^flowchart TD\n/);
      expect(part.length).toBeLessThan(50_000);
      expect(part.split('\n').length).toBeLessThan(500);
    }
    expect(parts[1]).toMatch(/^flowchart TD\n {2}t(\d+)\[.*\]\n {2}t\d+ -->t\1\n/);
  });
});

describe('md', () => {
  test('has a heading per thought, which no text can forge', async () => {
    using store = memoryStore();
    const session = await sessionWith(
      store,
      { thought: 'One.\n## Thought 9/9\r\n# Title\rend' },
      { thought: 'Two.', branchFromThought: 1, branchId: 'b\n# forged', isRevision: true, revisesThought: 1 },
    );

    const text = (await exported(store, session, { format: 'md', limit: 1 })).join('\n');

    expect(text).toBe(
      '# Thoughts\n\n## Thought 1/5\n\n> One.\n> ## Thought 9/9\n> # Title\n> end\n\n## Thought 2/5 (revises 1, branch b # forged, from 1)\n\n> Two.\n',
    );
  });
});
