/** What git says of its progress on standard error, told to the client; the rest is what it has to say otherwise. */
import type { Call } from '#runtime/tool.ts';

import { maxProgressKinds } from './limits.ts';

const step = /^(?:remote: )?([A-Z][\w ]{1,40}): +(\d{1,3})% \(\d+\/\d+\)/;
/** Where it gets things from, and counts without an end. */
const asides =
  /^(From |To |Cloning into |(?:remote: )?[A-Z][\w ]{1,40}: \d+, done\.?|(remote: )?(Total |Delta compression ))/;

/** Keeps lines that came in pieces together; returns what is none of progress. */
export type ProgressReader = (text: string) => string;

/** Each kind of work counts to a hundred, and goes on where the one before ended. */
export function progressReader({ progress }: Pick<Call, 'progress'>): ProgressReader {
  const kinds: string[] = [];
  let last = -1;
  let rest = '';
  return (text) => {
    const lines = (rest + text).split(/[\r\n]/);
    rest = lines.pop() ?? '';
    // A line without an end is kept for the next piece, unless nothing like progress is so long.
    if (rest.length > 1_000) {
      lines.push(rest);
      rest = '';
    }
    const others = lines.filter((line) => {
      const [said, kind = '', percent = ''] = step.exec(line) ?? [];
      if (said === undefined) return line.trim() !== '' && !asides.test(line);
      if (!kinds.includes(kind)) {
        if (kinds.length === maxProgressKinds) return false;
        kinds.push(kind);
      }
      const done = 100 * kinds.indexOf(kind) + Number(percent);
      if (done > last) progress(done, undefined, `${kind}: ${percent}%`);
      last = Math.max(last, done);
      return false;
    });
    return others.map((line) => `${line}\n`).join('');
  };
}
