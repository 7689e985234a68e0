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
  const client = sessions.hasDefaults(call, since) ? call.session : undefined;
  const recent = (filter: { isOpen: boolean; lastNumber?: number }) =>
    sessions.defaults(call.caller, client, since, filter);
  const [open, another] = recent({ isOpen: true });
  if (!open) return begun(unclear('None of your sessions without a name is open', isNew));
  if (another) {
    const [following, rival] = isPlain ? recent({ isOpen: true, lastNumber: thoughtNumber - 1 }) : [];
    if (following && !rival) return { session: following, problems: [] };
    return begun(unclear('Several of your sessions without a name are open', isNew));
  }
  if (!isPlain || open.last_number + 1 === thoughtNumber) return { session: open, problems: [] };
  const follows = `Thought ${thoughtNumber} does not follow thought ${open.last_number} of your only open session without a name`;
  // It follows one that is finished: another client may have more to say there than it expected.
  if (recent({ isOpen: false, lastNumber: thoughtNumber - 1 }).length > 0)
    return begun(unclear(follows, isNew));
  return { session: open, problems: [unclear(follows, 'which was continued')] };
}

const isNew = 'so this thought begins a new one';
const unclear = (why: string, done: string): Problem => ({
  code: 'conflict',
  message: `${why}, ${done}. Pass session_id with every thought.`,
});
