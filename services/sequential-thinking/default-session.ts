/** Which session a thought belongs to that names none; the README states the rule. */
import { nowIso } from '#runtime/time.ts';
import type { Call } from '#runtime/tool.ts';

import { defaultIdleMs } from './limits.ts';
import type { Session, Sessions } from './sessions.ts';
import type { Said } from './thought-schema.ts';
import type { Problem } from './thoughts.ts';

interface Choice {
  readonly session: Session;
  readonly problems: readonly Problem[];
}

export function defaultSession(sessions: Sessions, said: Said, call: Call): Choice {
  const { thoughtNumber, isRevision, revisesThought, branchFromThought, branchId } = said;
  const begun = (...problems: Problem[]): Choice => ({
    session: sessions.begin(call, undefined, true),
    problems,
  });
  const isPlain = !isRevision && revisesThought === undefined && branchFromThought === undefined && !branchId;
  if (isPlain && thoughtNumber === 1) return begun();

  const since = nowIso({ nowMs: call.nowMs - defaultIdleMs });
  const [open, another] = sessions.openDefaults(call.caller, since);
  if (!open) {
    return begun(unclear('None of your sessions without a name is open, so this thought begins a new one.'));
  }
  if (!another) {
    if (!isPlain || open.last_number + 1 === thoughtNumber) return { session: open, problems: [] };
    const message = `Thought ${thoughtNumber} does not follow thought ${open.last_number}, but yours is the only open session without a name, and was continued.`;
    return { session: open, problems: [unclear(message)] };
  }
  const [following, rival] = isPlain ? sessions.openDefaults(call.caller, since, thoughtNumber - 1) : [];
  if (following && !rival) return { session: following, problems: [] };
  return begun(
    unclear('Several of your sessions without a name are open, so this thought begins a new one.'),
  );
}

const unclear = (message: string): Problem => ({
  code: 'conflict',
  message: `${message} Pass session_id with every thought.`,
});
