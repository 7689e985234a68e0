import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { adding, reading } from '#runtime/hints.ts';
import { continued, pageBytes, withCursor } from '#runtime/page.ts';
import { nowIso } from '#runtime/time.ts';
import { defineTool, type Call } from '#runtime/tool.ts';
import { inTurn } from '#runtime/turns.ts';

import type { Format } from '../formats/format.ts';
import { jsonFormat, parseDocument } from '../formats/json.ts';
import { markdownFormat } from '../formats/markdown.ts';
import { mermaidFormat } from '../formats/mermaid.ts';
import { addedPerStep, maxExportLength, maxImportLength, maxThoughtsPerImport } from '../limits.ts';
import type { Session } from '../sessions.ts';
import { sessionUri, type Store } from '../store.ts';
import { sessionId } from '../thought-schema.ts';

const maxWarnings = 20;

const position = z.tuple([z.int().min(0)]);

function formatOf(store: Store, session: Session, format: 'json' | 'md' | 'mermaid', from: number): Format {
  if (format === 'json') return jsonFormat(session.title, from);
  if (format === 'md') return markdownFormat(session.title, from);
  const branches = new Map(store.thoughts.branches(session).map((branch) => [branch.id, branch]));
  return mermaidFormat(
    ({ line, position }) =>
      store.thoughts.positionUpTo(session, { line, position: position - 1 }) ??
      branches.get(line)?.from_position,
  );
}

export const exportSession = defineTool({
  name: 'export_session',
  title: 'Export Session',
  description: 'Write a session as a document: json for import_session, md to read, mermaid for a diagram.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    session_id: sessionId,
    format: z.enum(['json', 'md', 'mermaid']).default('json').describe('Of the document.'),
    limit: limitField(maxThoughtsPerImport, maxThoughtsPerImport).describe('Most thoughts.'),
    max_chars: z.int().min(1_000).max(maxExportLength).default(pageBytes).describe('Most characters.'),
    cursor: cursorField,
  }),
  output: z.object({
    content: z
      .string()
      .describe('The document, or a part: import parts of json one by one, join those of md.'),
    thoughts: z.int().describe('How many it has.'),
    ...continuation,
  }),
  text: ({ content, next_cursor: cursor }) => withCursor(content, cursor),

  async handler({ cursor, ...args }, store: Store, call) {
    const [after] = decodeCursor('export_session', args, cursor, position, [0]);
    return store.inTurns(call, exported(store, args, after));
  },
});

function* exported(
  store: Store,
  args: { session_id: string; format: 'json' | 'md' | 'mermaid'; limit: number; max_chars: number },
  after: number,
) {
  const session = store.sessions.get(args.session_id);
  const format = formatOf(store, session, args.format, after + 1);
  const limit = Math.min(args.limit, format.mostThoughts);
  const mostCharacters = Math.min(args.max_chars, format.mostCharacters);
  const written: string[] = [];
  for (let length = 0; written.length < limit;) {
    const row = store.thoughts.at(session, after + written.length + 1);
    if (!row) break;
    const text = format.write(row);
    length += text.length + format.between.length;
    if (written.length > 0 && length > mostCharacters) break;
    written.push(text);
    yield;
  }
  const done = after + written.length;
  return {
    content: `${format.head}${written.join(format.between)}${format.foot}`,
    thoughts: written.length,
    ...continued('export_session', args, done < session.thoughts ? [done] : undefined),
  };
}

export const importSession = defineTool({
  name: 'import_session',
  title: 'Import Session',
  description:
    'Make a session from what export_session wrote as json, or from {"thoughts": [...]} with arguments of sequentialthinking. All of it or nothing.',
  effect: 'write',
  hints: adding,
  input: z.object({
    content: z
      .string()
      .max(maxImportLength)
      .describe(`The document, of at most ${maxThoughtsPerImport} thoughts; not its path.`),
    session_id: sessionId.describe('For the second and later parts: the session of the first.').optional(),
  }),
  output: z.object({
    session_id: z.string().describe('The session.'),
    imported: z.int().describe('Thoughts added.'),
    thoughts: z.int().describe('In the session now.'),
    warnings: z.array(z.string()).describe('What is wrong with thoughts, which were added.'),
  }),

  async handler({ content, session_id: handle }, store: Store, call) {
    // Each takes its time.
    const document = await inTurn(call, () => parseDocument(content));
    call.signal.throwIfAborted();
    const answer =
      handle === undefined
        ? await importedAnew(store, document, call)
        : await inTurn(call, () => importedInto(store, document, handle, call));
    call.resourceUpdated(sessionUri(answer.session_id));
    return answer;
  },
});

type Document = ReturnType<typeof parseDocument>;

async function importedAnew(store: Store, { title, from, thoughts }: Document, call: Call) {
  requireFrom(from, 0);
  return store.addSession(call, title, (session) => append(store, session, thoughts, call));
}

/** One transaction: whoever reads the session sees all of the part, or nothing of it. */
const importedInto = (store: Store, { from, thoughts }: Document, handle: string, call: Call) =>
  store.add(call, () => {
    const session = store.sessions.get(handle);
    requireFrom(from, session.thoughts);
    const steps = append(store, session, thoughts, call);
    let step = steps.next();
    while (!step.done) step = steps.next();
    store.sessions.save(session, call);
    return step.value;
  });

/** @throws ToolError conflict. */
function requireFrom(from: number, has: number): void {
  if (has === from - 1) return;
  throw new ToolError(
    'conflict',
    `The document begins with thought ${from} of a session, but the session has ${has}; nothing was imported.`,
    {
      hint: 'Import the parts in order: the first without session_id, the others with the one that it returned.',
    },
  );
}

function* append(store: Store, session: Session, thoughts: Document['thoughts'], call: Call) {
  const now = nowIso(call);
  const warnings: string[] = [];
  const appended = store.thoughts.appendTo(session);
  for (const { at = now, ...said } of thoughts) {
    for (const { message } of appended.add(said, at, call.caller).problems)
      if (warnings.length < maxWarnings) warnings.push(`Thought at position ${session.thoughts}: ${message}`);
    if (session.thoughts % addedPerStep === 0) yield;
  }
  return { session_id: session.handle, imported: thoughts.length, thoughts: session.thoughts, warnings };
}
