/** Shortens the output of tools by what it is: what repeats or went well is counted, what went wrong stays. */
import type { Steps } from '#runtime/turns.ts';

import { bytesPerTurn } from '../limits.ts';
import { linesOf } from '../lines.ts';
import { pace } from '../pace.ts';

export const kinds = ['log', 'json', 'diff', 'test', 'stacktrace'] as const;
export type Kind = (typeof kinds)[number];

/** What a line is recognised by; the rest of a longer one is not looked at. */
const lookedAt = 400;

const trouble =
  /\b(?:error|errors|fail|failed|failure|fatal|panic|exception|warn|warning|critical|denied|refused|timeout)\b/i;
const frame = /^\s*(?:at\s+\S|File "[^"]*", line \d|#\d+\s|\S+\.go:\d+|from \S+:\d+:in )/;
const foreignFrame =
  /node_modules|site-packages|dist-packages|node:internal|\binternal\/|\/usr\/lib|\/rustc\/|<anonymous>|\b(?:java|jdk|sun|org\.springframework|org\.junit)\./;
const passed = /^\s*(?:✓|✔|√|PASS\b|ok\b(?! *false)|\. )|(?:\bPASSED|\.\.\. ok)\s*$|^=== RUN|^\s*--- PASS/;
const failedTest = /✗|✘|×|\bFAIL(?:ED|URE)?\b|\bnot ok\b|\bpanicked\b|\bError:|AssertionError|--- FAIL/;

/** What a text is most like that is no JSON, by its first lines. */
export function* kindOf(text: string): Steps<Exclude<Kind, 'json'>> {
  const isTurnOver = pace(bytesPerTurn);
  let [lines, frames, passes, failures] = [0, 0, 0, 0];
  for (const line of linesOf(text)) {
    const head = line.slice(0, lookedAt);
    if (/^diff --git |^@@ -\d/.test(head)) return 'diff';
    lines += 1;
    frames += Number(frame.test(head));
    passes += Number(passed.test(head));
    failures += Number(failedTest.test(head));
    if (lines === linesLookedAt) break;
    if (isTurnOver(head.length + 1)) yield;
  }
  if (frames / lines > 0.3) return 'stacktrace';
  return passes > 0 && (passes + failures) / lines > 0.2 ? 'test' : 'log';
}

const linesLookedAt = 20_000;

/** Lines of one shape are shown where they first come, and counted there. */
function* compressLog(lines: Iterable<string>): Steps<string[]> {
  const isTurnOver = pace(bytesPerTurn);
  const shown: string[] = [];
  const shapes = new Map<string, { more: number; shownAt: number | undefined }>();
  let isBlankShown = false;
  for (const line of lines) {
    if (isTurnOver(1 + Math.min(line.length, lookedAt))) yield;
    const isBlank = line.trim() === '';
    const shape = shapeOf(line);
    const known = shapes.get(shape);
    const most = trouble.test(shape) ? keptPerTrouble : keptPerShape;
    const more = (known?.more ?? -most) + 1;
    const isShown = more <= 0 && !(isBlank && isBlankShown);
    const shownAt = isShown ? shown.push(line) - 1 : known?.shownAt;
    if (isShown) isBlankShown = isBlank;
    if (known) Object.assign(known, { more, shownAt });
    else if (shapes.size < mostShapes) shapes.set(shape, { more, shownAt });
  }
  for (const { more, shownAt } of shapes.values()) {
    const line = shown[shownAt ?? -1];
    if (more > 0 && shownAt !== undefined && line?.trim()) shown[shownAt] = `${line} [+${more} alike]`;
    if (isTurnOver()) yield;
  }
  return shown;
}

/** A line without what differs from one occurrence to the next. */
const shapeOf = (line: string) =>
  line
    .slice(0, lookedAt)
    .replaceAll(/\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b/gi, '#')
    .replaceAll(/\d+/g, '#');

const keptPerShape = 1;
const keptPerTrouble = 3;
/** A text with more shapes than these does not repeat itself; further ones are shown as they come. */
const mostShapes = 50_000;

const changesPerHunk = 60;

/** Without the lines around changes, and with the beginning of long changes only. */
function* compressDiff(lines: Iterable<string>): Steps<string[]> {
  const shown: string[] = [];
  let changes = 0;
  const close = () => {
    if (changes > changesPerHunk) shown.push(`[+${changes - changesPerHunk} changed lines]`);
    changes = 0;
  };
  const isTurnOver = pace(bytesPerTurn);
  for (const line of lines) {
    if (isTurnOver(line.length + 1)) yield;
    const isChange = /^[+-](?!\+\+ |-- )/.test(line);
    if (isChange) {
      changes += 1;
      if (changes <= changesPerHunk) shown.push(line);
    } else if (line !== '' && !line.startsWith(' ') && !line.startsWith('index ')) {
      close();
      shown.push(line);
    }
  }
  close();
  return shown;
}

/** Runs of lines that match are counted. */
function* withoutRuns(
  lines: Iterable<string>,
  isHidden: (line: string) => boolean,
  what: string,
  shownPerRun: number,
): Steps<string[]> {
  const shown: string[] = [];
  let run = 0;
  const close = () => {
    if (run > shownPerRun) shown.push(`[+${run - shownPerRun} ${what}]`);
    run = 0;
  };
  const isTurnOver = pace(bytesPerTurn);
  for (const line of lines) {
    if (isTurnOver(1 + Math.min(line.length, lookedAt))) yield;
    if (isHidden(line.slice(0, lookedAt))) {
      run += 1;
      if (run <= shownPerRun) shown.push(line);
    } else {
      close();
      shown.push(line);
    }
  }
  close();
  return shown;
}

const isPassed = (line: string) => line.trim() === '' || (passed.test(line) && !failedTest.test(line));

function* compressTest(lines: Iterable<string>): Steps<string[]> {
  return yield* compressFrames(yield* withoutRuns(lines, isPassed, 'lines that passed', 0));
}

/** Frames of libraries are counted, of others the first of each run are shown. */
function* compressFrames(lines: Iterable<string>): Steps<string[]> {
  const own = yield* withoutRuns(
    lines,
    (line) => frame.test(line) && foreignFrame.test(line),
    'frames of libraries',
    0,
  );
  return yield* withoutRuns(own, (line) => frame.test(line), 'frames', 8);
}

export const compressors: Readonly<
  Record<Exclude<Kind, 'json'>, (lines: Iterable<string>) => Steps<string[]>>
> = { log: compressLog, diff: compressDiff, test: compressTest, stacktrace: compressFrames };
