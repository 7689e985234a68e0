/** What changed between two texts, line by line. */
import type { Steps } from '#runtime/turns.ts';

/** More edits than these are shown as one replacement: finding the fewest takes time that grows with their square. */
const maxEdits = 1_000;
const workPerTurn = 200_000;

interface Edit {
  readonly sign: ' ' | '-' | '+';
  readonly line: string;
}

interface LineDiff {
  readonly text: string;
  readonly added: number;
  readonly removed: number;
}

const linesOf = (text: string | undefined) => text?.split('\n') ?? [];

/** In the unified format, with so many unchanged lines around each change; a text that is not there has no lines. */
export function* lineDiff(
  before: string | undefined,
  after: string | undefined,
  context: number,
): Steps<LineDiff> {
  const edits = yield* editsBetween(linesOf(before), linesOf(after));
  const isNear = new Uint8Array(edits.length);
  for (const [at, { sign }] of edits.entries()) {
    if (sign !== ' ') isNear.fill(1, Math.max(0, at - context), at + context + 1);
  }
  const shown: string[] = [];
  let [oldLine, newLine] = [1, 1];
  for (const [at, { sign, line }] of edits.entries()) {
    if (isNear[at]) {
      if (at === 0 || !isNear[at - 1]) shown.push(`@@ -${oldLine} +${newLine} @@`);
      shown.push(sign + line);
    }
    if (sign !== '+') oldLine += 1;
    if (sign !== '-') newLine += 1;
  }
  const count = (wanted: string) => edits.filter(({ sign }) => sign === wanted).length;
  return { text: shown.join('\n'), added: count('+'), removed: count('-') };
}

const same = (line: string): Edit => ({ sign: ' ', line });

function* editsBetween(old: readonly string[], fresh: readonly string[]): Steps<Edit[]> {
  let start = 0;
  while (start < old.length && start < fresh.length && old[start] === fresh[start]) start += 1;
  let end = 0;
  while (
    end < old.length - start &&
    end < fresh.length - start &&
    old[old.length - 1 - end] === fresh[fresh.length - 1 - end]
  )
    end += 1;
  const middle = yield* shortestEdits(
    old.slice(start, old.length - end),
    fresh.slice(start, fresh.length - end),
  );
  return [...old.slice(0, start).map(same), ...middle, ...old.slice(old.length - end).map(same)];
}

/** Myers' greedy algorithm: how far each diagonal gets with one edit more, until one gets to the end. */
function* shortestEdits(old: readonly string[], fresh: readonly string[]): Steps<Edit[]> {
  const trace: Map<number, number>[] = [];
  let reach = new Map([[1, 0]]);
  let work = 0;
  for (let edits = 0; edits <= Math.min(maxEdits, old.length + fresh.length); edits += 1) {
    trace.push(new Map(reach));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = isDown(reach, diagonal, edits)
        ? (reach.get(diagonal + 1) ?? 0)
        : (reach.get(diagonal - 1) ?? 0) + 1;
      while (x < old.length && x - diagonal < fresh.length && old[x] === fresh[x - diagonal]) {
        x += 1;
        work += 1;
      }
      reach.set(diagonal, x);
      if (x >= old.length && x - diagonal >= fresh.length) return retrace(trace, old, fresh);
      if ((work += 1) >= workPerTurn) {
        work = 0;
        yield;
      }
    }
  }
  return [
    ...old.map((line) => ({ sign: '-' as const, line })),
    ...fresh.map((line) => ({ sign: '+' as const, line })),
  ];
}

const isDown = (reach: ReadonlyMap<number, number>, diagonal: number, edits: number) =>
  diagonal === -edits ||
  (diagonal !== edits && (reach.get(diagonal - 1) ?? 0) < (reach.get(diagonal + 1) ?? 0));

function retrace(
  trace: readonly ReadonlyMap<number, number>[],
  old: readonly string[],
  fresh: readonly string[],
): Edit[] {
  const edits: Edit[] = [];
  let [x, y] = [old.length, fresh.length];
  for (let at = trace.length - 1; at >= 0; at -= 1) {
    const reach = trace[at] ?? new Map<number, number>();
    const diagonal = x - y;
    const from = isDown(reach, diagonal, at) ? diagonal + 1 : diagonal - 1;
    const startX = reach.get(from) ?? 0;
    const startY = startX - from;
    while (x > startX && y > startY && x > 0 && y > 0)
      edits.push({ sign: ' ', line: old[((y -= 1), (x -= 1))] ?? '' });
    if (at === 0) break;
    if (x === startX) edits.push({ sign: '+', line: fresh[(y -= 1)] ?? '' });
    else edits.push({ sign: '-', line: old[(x -= 1)] ?? '' });
  }
  return edits.toReversed();
}
