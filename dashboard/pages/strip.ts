/**
 * The past of a process as a row of bars, one for each stretch of time. What a bar tells is told by its form, and the colour only adds to
 * it: full height for all well, a shorter one where polls were missed, a broken one where most were, a line on the ground where nobody
 * polled.
 */
import { shareText } from '../format.ts';
import { html, raw, type Html } from './html.ts';

const height = 20;

type Kind = 'full' | 'some' | 'most' | 'none';

/** A bar of a width, from a place on. */
const forms: Readonly<Record<Kind, (x: number, barWidth: number) => string>> = {
  full: (x, barWidth) => `M${x} 0h${barWidth}v${height}h-${barWidth}z`,
  some: (x, barWidth) => `M${x} 7h${barWidth}v13h-${barWidth}z`,
  most: (x, barWidth) => `M${x} 0h${barWidth}v12h-${barWidth}zM${x} 16h${barWidth}v4h-${barWidth}z`,
  none: (x, barWidth) => `M${x} 18h${barWidth}v2h-${barWidth}z`,
};

function kindOf(share: number | null): Kind {
  if (share === null) return 'none';
  if (share === 1) return 'full';
  return share >= 0.5 ? 'some' : 'most';
}

export interface Span {
  readonly cells: readonly (number | null)[];
  readonly cellMs: number;
  readonly from: string;
}

const dayMs = 24 * 3_600_000;

/** `label` says what it is the past of, and how far back it goes. */
export function strip({ cells, cellMs, from }: Span, label: string): Html {
  const fromMs = Date.parse(from);
  // Many of them must not take the room of everything else.
  const step = cells.length > 60 ? 3 : 4;
  const known = cells.filter((share) => share !== null);
  const troubled = known.filter((share) => share < 1);
  const words =
    known.length === 0
      ? 'not polled yet'
      : `${known.length} of ${cells.length} ${cellMs === dayMs ? 'days' : 'half hours'} polled, ${troubled.length} of them with trouble`;
  const even: Record<'full' | 'none', string> = { full: '', none: '' };
  const odd: Html[] = [];
  for (const [index, share] of cells.entries()) {
    const kind = kindOf(share);
    const form = forms[kind](index * step, step - 1);
    if (kind === 'full' || kind === 'none') even[kind] += form;
    else {
      odd.push(
        html`<path class="${kind}" d="${form}"
          ><title>${cellText(fromMs + index * cellMs, cellMs)}: up ${shareText(share)}</title></path
        >`,
      );
    }
  }
  const width = Math.max(1, cells.length * step - 1);
  return html`<svg
    class="strip"
    width="${width}"
    height="${height}"
    viewBox="0 0 ${width} ${height}"
    preserveAspectRatio="none"
    role="img"
    aria-label="${label}: ${words}"
  >
    ${even.none && html`<path class="none" d="${raw(even.none)}"></path>`}${even.full && html`<path class="full" d="${raw(even.full)}"></path>`}${odd}
  </svg>`;
}

function cellText(atMs: number, cellMs: number): string {
  const at = new Date(atMs).toISOString();
  return cellMs === dayMs ? at.slice(0, 10) : `${at.slice(5, 10)} ${at.slice(11, 16)}`;
}
