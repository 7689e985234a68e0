/** Charts as pictures: what is seen without JavaScript, and before it has run. */
import { html, raw, type Html } from './html.ts';

type Values = readonly (number | null)[];

const width = 600;
const height = 120;

export interface Line {
  readonly name: string;
  readonly values: Values;
}

/** Lines over time with one scale from 0 up. A stretch that nobody looked at is a gap. */
export function lineChart(lines: readonly Line[], label: string, text: (value: number) => string): Html {
  const most = Math.max(0, ...lines.flatMap(({ values }) => values.filter((value) => value !== null)));
  const scale = most === 0 ? 0 : (height - 4) / most;
  const count = Math.max(2, ...lines.map(({ values }) => values.length));
  return html`<svg
    class="chart"
    viewBox="0 0 ${width} ${height}"
    preserveAspectRatio="none"
    role="img"
    aria-label="${label}: ${most === 0 ? 'nothing yet' : `at most ${text(most)}`}"
  >
    ${lines.map(
      ({ values }, index) =>
        html`<path class="line line-${index}" d="${raw(pathOf(values, width / (count - 1), scale))}"></path>`,
    )}
  </svg>`;
}

function pathOf(values: Values, step: number, scale: number): string {
  let path = '';
  let isDrawing = false;
  for (const [index, value] of values.entries()) {
    if (value === null) {
      isDrawing = false;
      continue;
    }
    const x = Math.round(index * step * 10) / 10;
    path += `${isDrawing ? 'L' : 'M'}${x} ${Math.round((height - 2 - value * scale) * 10) / 10}`;
    // A point alone would not be seen.
    if (!isDrawing) path += 'h0.1';
    isDrawing = true;
  }
  return path;
}

/** Calls as bars, with the part of them that failed on top, set apart by a gap. */
export function bars(calls: Values, errors: Values, label: string): Html {
  const barStep = 6;
  const barHeight = 44;
  const most = Math.max(1, ...calls.map((value) => value ?? 0));
  let well = '';
  let ill = '';
  let none = '';
  for (const [index, value] of calls.entries()) {
    const x = index * barStep;
    if (value === null || value === 0) {
      none += `M${x} ${barHeight - 1}h5v1h-5z`;
      continue;
    }
    const failed = errors[index] ?? 0;
    const full = Math.max(2, Math.round((value / most) * barHeight));
    const top = failed === 0 ? 0 : Math.max(3, Math.round((failed / most) * barHeight));
    const rest = Math.max(1, full - top - (top > 0 ? 1 : 0));
    well += `M${x} ${barHeight - rest}h5v${rest}h-5z`;
    if (top > 0) ill += `M${x} ${Math.max(0, barHeight - rest - 1 - top)}h5v${top}h-5z`;
  }
  const total = calls.length * barStep - 1;
  const sum = (values: Values) => values.reduce<number>((all, value) => all + (value ?? 0), 0);
  return html`<svg
    class="bars"
    viewBox="0 0 ${total} ${barHeight}"
    preserveAspectRatio="none"
    role="img"
    aria-label="${label}: ${sum(calls)} calls, ${sum(errors)} of them failed"
  >
    <path class="none" d="${raw(none)}"></path>
    <path class="well" d="${raw(well)}"></path>
    <path class="ill" d="${raw(ill)}"></path>
  </svg>`;
}
