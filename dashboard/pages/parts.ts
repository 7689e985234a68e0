/** What both pages show of a process, its calls and its past. */
import type { Figures, Incident, LogLine, Overview } from '#runtime/process/overview.ts';

import type { Fleet, Row } from '../fleet.ts';
import { countText, durationText, errorText, instantText, latencyText } from '../format.ts';
import { elapsed, html, type Html } from './html.ts';
import { shape, type Status } from './layout.ts';

export const pageOf = (name: string) => `/dashboard/${encodeURIComponent(name)}`;

export function stateText({ status, flapping }: Pick<Row, 'status' | 'flapping'>): Html {
  return html`<span class="${status}">${shape(status)}${status}</span
    >${flapping && html` <span class="flapping">flapping</span>`}`;
}

export function forText({ status, since }: Pick<Row, 'status' | 'since'>, nowMs: number): Html | string {
  return status === 'absent' || status === 'unknown' ? '' : elapsed(since, nowMs, durationText);
}

/** What is old, unknown or gone must not look like now. */
export function banner({ health, overview }: Fleet, nowMs: number): Html | '' {
  const { answers, failure, failingSince, stale, polledAt, ageMs } = health;
  if (!answers) {
    return html`<p class="banner">
      <strong>Health does not answer</strong>, for ${elapsed(failingSince, nowMs, durationText)}: ${failure}.
      ${
        overview && polledAt !== null
          ? html`What is shown is ${elapsed(polledAt, nowMs, durationText)} old.`
          : 'Nothing is known about the fleet.'
      }
      See: <code>flotilla logs health</code>
    </p>`;
  }
  if (!stale) return '';
  return html`<p class="banner">
    <strong
      >What is shown is
      ${ageMs === null ? 'old' : html`${elapsed(polledAt, nowMs, durationText)} old`}</strong
    >: health answers, but has stopped polling.
  </p>`;
}

/** A few errors are daily life, as when something asked for is not there: many stand out. */
const manyErrors = 0.05;

export function failedText(figures: Pick<Figures, 'calls' | 'errors'>): Html {
  const isMany = figures.errors >= figures.calls * manyErrors && figures.errors > 0;
  return html`<span${isMany && html` class="failed"`}>${errorText(figures)}</span>`;
}

export function figureCells(figures: Figures, windowed: string): Html {
  const { calls, p50Ms, p95Ms, p99Ms } = figures;
  return html`<td class="number" data-label="Calls, ${windowed}">${calls === 0 ? '–' : countText(calls)}</td>
    <td class="number" data-label="Failed">${failedText(figures)}</td>
    <td class="number minor" data-label="p50">${latencyText(p50Ms)}</td>
    <td class="number" data-label="p95">${latencyText(p95Ms)}</td>
    <td class="number minor" data-label="p99">${latencyText(p99Ms)}</td>`;
}

export const figureHeads = html`<th scope="col" class="number">Calls</th>
  <th scope="col" class="number">Failed</th>
  <th scope="col" class="number">p50</th>
  <th scope="col" class="number">p95</th>
  <th scope="col" class="number">p99</th>`;

export function kindsText(kinds: Readonly<Record<string, number>>): string {
  return Object.entries(kinds)
    .toSorted(([, one], [, other]) => other - one)
    .map(([kind, count]) => `${kind} ${countText(count)}`)
    .join(', ');
}

const bytesPerToken = 4;

/** About: of one answer. */
function tokensText({ calls, answerBytes }: Tool): string {
  return calls === 0 || answerBytes === 0
    ? '–'
    : countText(Math.max(1, Math.round(answerBytes / calls / bytesPerToken)));
}

type Tool = Overview['tools'][number];

/** `named`: with the process that each tool belongs to. */
export function toolTable(tools: readonly Tool[], caption: string, named: boolean): Html {
  return html`<table class="tools">
    <caption>
      ${caption}. Tokens are those of one answer, about: four bytes each.
    </caption>
    <thead>
      <tr>
        <th scope="col">Tool</th>
        ${named && html`<th scope="col">Service</th>`} ${figureHeads}
        <th scope="col" class="number">Tokens each</th>
        <th scope="col">Errors by kind</th>
      </tr>
    </thead>
    <tbody>
      ${tools.map(
        (tool) =>
          html`<tr>
            <th scope="row">${tool.tool}</th>
            ${named && html`<td data-label="Service"><a href="${pageOf(tool.name)}">${tool.name}</a></td>`}
            ${figureCells(tool, '24 h')}
            <td class="number" data-label="Tokens each">${tokensText(tool)}</td>
            <td class="kinds" data-label="Errors by kind">${kindsText(tool.errorsByKind)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

const statuses = new Set<string>(['up', 'degraded', 'down', 'absent', 'unknown']);
const statusOf = (text: string): Status => (statuses.has(text) ? (text as Status) : 'unknown');

/** Newest first. `named`: with the process that each was of. */
export function incidentList(incidents: readonly Incident[], nowMs: number, named: boolean): Html {
  if (incidents.length === 0) return html`<p class="dim">None is known.</p>`;
  return html`<ol class="incidents">
    ${incidents.map(({ name, at, endedAt, to, reason }) => {
      const status = statusOf(to);
      const lasted =
        endedAt === null
          ? html`for ${elapsed(at, nowMs, durationText)}, not over`
          : `for ${durationText(Math.max(0, Date.parse(endedAt) - Date.parse(at)))}`;
      return html`<li${endedAt === null && html` class="open"`}>
        <time class="at" datetime="${at}" data-fixed>${instantText(at)}</time>
        <span class="${status}">${shape(status)}</span>
        <span
          >${named && html`<a href="${pageOf(name)}">${name}</a> `}<span class="${status}">${to}</span>
          <span class="dim">${lasted}</span>${reason !== null && html`<bdi class="reason">${reason}</bdi>`}</span
        >
      </li>`;
    })}
  </ol>`;
}

export function logList(lines: readonly LogLine[]): Html {
  if (lines.length === 0) return html`<p class="dim">None is at hand.</p>`;
  return html`<ol class="lines">
    ${lines.map(
      ({ time, level, text }) =>
        html`<li class="${level ?? 'plain'}">
          <span class="dim">${time === null ? '' : time.slice(11, 19)}</span>
          <span class="level">${level ?? ''}</span> <bdi>${text}</bdi>
        </li>`,
    )}
  </ol>`;
}
