import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { adding } from '#runtime/hints.ts';
import { nowIso } from '#runtime/time.ts';
import { defineTool } from '#runtime/tool.ts';

import { defaultSession } from '../default-session.ts';
import { sessionUri, type Store } from '../store.ts';
import { saidFields, sessionId } from '../thought-schema.ts';

export const sequentialthinking = defineTool({
  name: 'sequentialthinking',
  title: 'Sequential Thinking',
  description:
    'Think through a hard problem in numbered steps that are kept. One call per thought: estimate totalThoughts and adjust it; reconsider an earlier thought with isRevision and revisesThought; try an alternative with branchFromThought and branchId; state a hypothesis and verify it. Set nextThoughtNeeded to false only when you have the answer. Pass the session_id of the first answer with every later thought.',
  effect: 'write',
  untrusted: 'as-is',
  hints: adding,
  input: z.object({
    ...saidFields,
    session_id: sessionId.describe('To go on in; without it thought 1 begins one.').optional(),
    strict: z.boolean().default(false).describe('Store nothing where an answer would have warnings.'),
  }),
  output: z.object({
    thoughtNumber: z.int().describe('As given.'),
    totalThoughts: z.int().describe('At least thoughtNumber.'),
    nextThoughtNeeded: z.boolean().describe('As given.'),
    branches: z.array(z.string()).describe('All branches of the session.'),
    thoughtHistoryLength: z.int().describe('Thoughts in the session.'),
    session_id: z.string().describe('Pass with the next thought.'),
    branch: z
      .object({
        branchId: z.string().describe('Name.'),
        fromThought: z.int().describe('Where it began.'),
        thoughts: z.int().describe('On it.'),
      })
      .optional()
      .describe('Which the thought is on.'),
    warnings: z.array(z.string()).describe('What is wrong with the thought, which was stored.'),
  }),

  handler({ session_id: handle, strict, ...said }, store: Store, call) {
    const answer = store.add(call, () => {
      const { session, problems: unclear } =
        handle === undefined
          ? defaultSession(store.sessions, said, call)
          : { session: store.sessions.get(handle), problems: [] };
      const { branch, problems: found } = store.thoughts
        .appendTo(session)
        .add(said, nowIso(call), call.caller);
      const problems = [...unclear, ...found];
      const [first] = problems;
      if (strict && first) {
        throw new ToolError(first.code, problems.map(({ message }) => message).join(' '), {
          hint: 'Nothing was stored: correct the thought, or leave strict out to store it with warnings.',
        });
      }
      store.sessions.save(session, call);
      return {
        thoughtNumber: session.last_number,
        totalThoughts: session.last_total,
        nextThoughtNeeded: said.nextThoughtNeeded,
        branches: store.thoughts.branches(session).map(({ name }) => name),
        thoughtHistoryLength: session.thoughts,
        session_id: session.handle,
        ...(branch && {
          branch: { branchId: branch.name, fromThought: branch.from_number, thoughts: branch.thoughts },
        }),
        warnings: problems.map(({ message }) => message),
      };
    });
    call.resourceUpdated(sessionUri(answer.session_id));
    return answer;
  },
});
