/** Shortens the output of tools by what it is: what repeats or went well is counted, what went wrong stays. */
import type { Steps } from '#runtime/turns.ts';

import { compressJson, isJson } from './compress-json.ts';
import { stepsPerTurn } from '../limits.ts';

export const kinds = ['log', 'json', 'diff', 'test', 'stacktrace'] as const;
type Kind = (typeof kinds)[number];

/** What a line is recognised by; the rest of a longer one is not looked at. */
const lookedAt = 400;

const trouble =
  /\b(?:error|errors|fail|failed|failure|fatal|panic|exception|warn|warning|critical|denied|refused|timeout)\b/i;
const frame = /^\s*(?:at\s+\S|File "[^"]*", line \d|#\d+\s|\S+\.go:\d+|from \S+:\d+:in )/;
const foreignFrame =
  /node_modules|site-packages|dist-packages|node:internal|\binternal\/|\/usr\/lib|\/rustc\/|<anonymous>|\b(?:java|jdk|sun|org\.springframework|org\.junit)\./;
const passed = /^\s*(?:✓|✔|√|PASS\b|ok\b(?! *false)|\. )|(?:\bPASSED|\.\.\. ok)\s*$|^=== RUN|^\s*--- PASS/;
const failedTest = /✗|✘|×|\bFAIL(?:ED|URE)?\b|\bnot ok\b|\bpanicked\b|\bError:|AssertionError|--- FAIL/;

/** What the text is most like. */
export function kindOf(text: string, lines: readonly string[]): Kind {
  if (isJson(text)) return 'json';
  const heads = lines.slice(0, stepsPerTurn).map((line) => line.slice(0, lookedAt));
  const share = (pattern: RegExp) => heads.filter((line) => pattern.test(line)).length / heads.length;
  if (heads.some((line) => /^diff --git |^@@ -\d/.test(line))) return 'diff';
  if (share(frame) > 0.3) return 'stacktrace';
  if (heads.some((line) => passed.test(line)) && share(passed) + share(failedTest) > 0.2) return 'test';
  return 'log';
}

const compressors: Readonly<Record<Exclude<Kind, 'json'>, (lines: readonly string[]) => Steps<string[]>>> = {
  log: compressLog,
  diff: compressDiff,
  test: compressTest,
  stacktrace: compressFrames,
};

export function* compress(text: string, lines: readonly string[], kind: Kind): Steps<string> {
  if (kind === 'json') return yield* compressJson(text);
  return (yield* compressors[kind](lines)).join('\n');
}

/** A line without what differs from one occurrence to the next. */
const shapeOf = (line: string) =>
  line
    .slice(0, lookedAt)
    .replaceAll(/\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b/gi, '#')
    .replaceAll(/\d+/g, '#');

const keptPerShape = 1;
const keptPerTrouble = 3;

/** Lines of one shape are shown where they first come, and counted there. */
function* compressLog(lines: readonly string[]): Steps<string[]> {
  const shown: { line: string; shape: string }[] = [];
  const counts = new Map<string, number>();
  for (const [at, line] of lines.entries()) {
    if (at % stepsPerTurn === stepsPerTurn - 1) yield;
    const shape = shapeOf(line);
    const count = (counts.get(shape) ?? 0) + 1;
    counts.set(shape, count);
    const isShown = count <= (trouble.test(shape) ? keptPerTrouble : keptPerShape);
    if (isShown && (line.trim() !== '' || shown.at(-1)?.line.trim() !== '')) shown.push({ line, shape });
  }
  const last = new Map(shown.map(({ shape }, at) => [shape, at]));
  return shown.map(({ line, shape }, at) => {
    const more = (counts.get(shape) ?? 0) - (trouble.test(shape) ? keptPerTrouble : keptPerShape);
    return last.get(shape) === at && more > 0 && line.trim() !== '' ? `${line} [+${more} alike]` : line;
  });
}

const changesPerHunk = 60;

/** Without the lines around changes, and with the beginning of long changes only. */
function* compressDiff(lines: readonly string[]): Steps<string[]> {
  const shown: string[] = [];
  let changes = 0;
  const close = () => {
    if (changes > changesPerHunk) shown.push(`[+${changes - changesPerHunk} changed lines]`);
    changes = 0;
  };
  for (const [at, line] of lines.entries()) {
    if (at % stepsPerTurn === stepsPerTurn - 1) yield;
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
  lines: readonly string[],
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
  for (const [at, line] of lines.entries()) {
    if (at % stepsPerTurn === stepsPerTurn - 1) yield;
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

function* compressTest(lines: readonly string[]): Steps<string[]> {
  return yield* compressFrames(yield* withoutRuns(lines, isPassed, 'lines that passed', 0));
}

/** Frames of libraries are counted, of others the first of each run are shown. */
function* compressFrames(lines: readonly string[]): Steps<string[]> {
  const own = yield* withoutRuns(
    lines,
    (line) => frame.test(line) && foreignFrame.test(line),
    'frames of libraries',
    0,
  );
  return yield* withoutRuns(own, (line) => frame.test(line), 'frames', 8);
}
