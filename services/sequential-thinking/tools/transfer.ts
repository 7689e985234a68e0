import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { adding, reading } from '#runtime/hints.ts';
import { nowIso } from '#runtime/time.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Format } from '../formats/format.ts';
import { jsonFormat, parseDocument } from '../formats/json.ts';
import { markdownFormat } from '../formats/markdown.ts';
import { mermaidFormat } from '../formats/mermaid.ts';
import { maxImportLength, maxThoughtsPerImport } from '../limits.ts';
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
      store.thoughts.lastUpTo(session, { line, position: position - 1 })?.position ??
      branches.get(line)?.from_position,
  );
}

export const exportSession = defineTool({
  name: 'export_session',
  title: 'Export Session',
  description:
    'Write a session as a document: json for import_session, md to read, mermaid for a diagram. To read it yourself use get_session.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    session_id: sessionId,
    format: z.enum(['json', 'md', 'mermaid']).default('json').describe('json, md or mermaid.'),
    limit: limitField(maxThoughtsPerImport, 1_000),
    cursor: cursorField,
  }),
  output: z.object({
    content: z
      .string()
      .describe(
        'The document, or a part: import parts of json one by one, join those of md, draw those of mermaid.',
      ),
    thoughts: z.int().describe('How many thoughts it has.'),
    ...continuation,
  }),

  handler({ cursor, ...args }, store: Store) {
    const [after] = decodeCursor('export_session', args, cursor, position, [0]);
    return store.snapshot(() => {
      const session = store.sessions.get(args.session_id);
      const format = formatOf(store, session, args.format, after + 1);
      const limit = Math.min(args.limit, format.mostThoughts);
      const written: string[] = [];
      let length = 0;
      for (const row of store.thoughts.after(session, after)) {
        const text = format.write(row);
        length += text.length + format.between.length;
        if (written.length === limit || (written.length > 0 && length > format.mostCharacters)) break;
        written.push(text);
      }
      const done = after + written.length;
      return {
        content: `${format.head}${written.join(format.between)}${format.foot}`,
        thoughts: written.length,
        ...(done < session.thoughts && {
          truncated: true as const,
          next_cursor: encodeCursor('export_session', args, [done]),
        }),
      };
    });
  },
});

export const importSession = defineTool({
  name: 'import_session',
  title: 'Import Session',
  description:
    'Make a session from the content of an export_session with format json, or from {"thoughts": [...]} with arguments of sequentialthinking. All of it or nothing.',
  effect: 'write',
  hints: adding,
  input: z.object({
    content: z
      .string()
      .max(maxImportLength)
      .describe(`The document, of at most ${maxThoughtsPerImport} thoughts; not its path.`),
    session_id: sessionId
      .describe('Only for the second and later parts: the session of the first.')
      .optional(),
  }),
  output: z.object({
    session_id: z.string().describe('The session.'),
    imported: z.int().describe('Thoughts that were added.'),
    thoughts: z.int().describe('Thoughts in the session now.'),
    warnings: z
      .array(z.string())
      .describe('The first things that are wrong with thoughts, which were added all the same.'),
  }),

  handler({ content, session_id: handle }, store: Store, call) {
    const { title, from, thoughts } = parseDocument(content);
    const answer = store.add(() => {
      const session =
        handle === undefined ? store.sessions.begin(call, title, false) : store.sessions.get(handle);
      if (session.thoughts !== from - 1) {
        throw new ToolError(
          'conflict',
          `The document begins with thought ${from} of a session, but the session has ${session.thoughts}; nothing was imported.`,
          {
            hint: 'Import the parts in order: the first without session_id, the others with the one that it returned.',
          },
        );
      }
      const warnings: string[] = [];
      for (const { at = nowIso(call), ...said } of thoughts) {
        for (const { message } of store.thoughts.append(session, said, at).problems)
          if (warnings.length < maxWarnings)
            warnings.push(`Thought at position ${session.thoughts}: ${message}`);
      }
      store.sessions.save(session, call);
      return { session_id: session.handle, imported: thoughts.length, thoughts: session.thoughts, warnings };
    });
    call.resourceUpdated(sessionUri(answer.session_id));
    return answer;
  },
});
