/** What came of a run, in the words and forms of mcp-run-python. */
import type { Usage } from '#runtime/launcher.ts';
import { cutAt } from '#runtime/page.ts';

import { maxErrorLength, shownValueLength } from './limits.ts';
import { violationText, type Done } from './python.ts';

export interface Result {
  readonly status: 'success' | 'run-error';
  readonly output: readonly string[];
  /** For reading. */
  readonly text: string | undefined;
  readonly json: string | undefined;
  readonly error: string | undefined;
  readonly isCut: boolean;
  readonly limits: readonly string[];
  readonly usage: Usage;
}

export function resultOf(done: Done, timeoutMs: number): Result {
  const { head, output, usage, violations } = done;
  const said = (name: string) => (typeof head?.[name] === 'string' ? head[name].toWellFormed() : undefined);
  const text = said('text');
  const json = isJson(said('json')) ? said('json') : undefined;
  const isLong = text !== undefined && Math.max(text.length, json?.length ?? 0) > shownValueLength;
  const shown = isLong ? `${text.slice(0, cutAt(text, shownValueLength))}…` : text;
  const isGood = head?.['status'] === 'success';
  const ending = endingOf(done, timeoutMs);
  const error = [said('error'), ending].filter((part) => part !== undefined && part !== '').join('');
  return {
    status: isGood ? 'success' : 'run-error',
    output: linesOf(output.text),
    text: isGood ? shown : undefined,
    json: isGood ? (isLong ? JSON.stringify(shown) : json) : undefined,
    error: isGood ? undefined : error.slice(-maxErrorLength).toWellFormed(),
    isCut: output.isCut || (isGood && (isLong || head['isCut'] === true)),
    limits: violations.map(violationText),
    usage,
  };
}

/** What the traceback does not say. */
function endingOf({ head, stopped, exit, violations }: Done, timeoutMs: number): string | undefined {
  const ended = violations.filter(({ policy }) => policy !== 'warn').map(violationText);
  const why =
    stopped === 'timeout'
      ? `It was stopped after timeout_ms, ${timeoutMs} ms.`
      : stopped === 'interrupted'
        ? 'It was interrupted.'
        : stopped === 'expelled'
          ? 'It was ended, for all interpreters together took too much memory (FLOTILLA_PYTHON_TOTAL_MB), and those of this token most. Try again with less, or close sessions.'
          : ended.length > 0
            ? `It passed a limit (${ended.join('; ')}).`
            : undefined;
  if (head) return why && `${why}\n`;
  const how =
    exit?.signal ??
    (exit?.code === null || exit?.code === undefined ? 'without a word' : `code ${exit.code}`);
  const likely =
    exit?.code === channelLost
      ? 'The code closed or replaced the pipe that the service speaks through.'
      : 'The code ended it, or did what no interpreter outlives.';
  return `The interpreter ended (${how}). ${why ?? likely}\n`;
}

/** What the runner ends with when it cannot answer. */
const channelLost = 97;

function isJson(text: string | undefined): boolean {
  try {
    JSON.parse(text ?? '');
    return true;
  } catch {
    return false;
  }
}

function linesOf(output: string): string[] {
  const lines = output.toWellFormed().split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

export function asXml({ status, output, text, error = '' }: Result): string {
  const value = text === undefined ? [] : [['return_value', text] as const];
  const parts = [
    ...(output.length > 0 ? [['output', output.join('\n')] as const] : []),
    ...(status === 'success' ? value : [['error', error] as const]),
  ];
  const lines = parts.flatMap(([tag, said]) => [`<${tag}>`, withoutTags(said), `</${tag}>`]);
  return [`<status>${status}</status>`, ...lines].join('\n');
}

export function asJson({ status, output, json = 'null', error }: Result): string {
  const first = JSON.stringify({ status, output }).slice(0, -1);
  return status === 'success'
    ? `${first},"return_value":${json}}`
    : `${first},"error":${JSON.stringify(error)}}`;
}

/** None of the form's own tags can be written in a text, open or not. */
const tags = /<\/?\s*(?:output|return_value|error|status)\b[^>]{0,200}>?/gi;

const withoutTags = (text: string) =>
  text.replaceAll(tags, (found) => found.replaceAll('<', '&lt;').replaceAll('>', '&gt;'));
