/** Who does best, with how sure that is: a bar for the share of successes, and whiskers for its interval. */
import type { Result, Standing } from '#runtime/process/standings.ts';

import { countText, percentText } from '../format.ts';
import type { Observer } from '../observers.ts';
import { html, type Html } from './html.ts';
import { pageOf } from './parts.ts';

type Row = Result & { readonly name: string; readonly task?: string };

export function observerSection(observers: readonly Observer[]): Html {
  if (observers.length === 0) return html``;
  return html`<section id="observers" aria-labelledby="observers-title">
    <h2 id="observers-title">Observers</h2>
    ${observers.map((observer) => ofObserver(observer))}
  </section>`;
}

function ofObserver(observer: Observer): Html {
  const { name, days, needed, models, clients } = observer;
  const source = html`<a href="${pageOf(name)}">${name}</a>`;
  if (models.length + clients.length === 0)
    return html`<p class="dim">${source} knows of no decision of the last ${days} days.</p>`;
  const tables = (
    [
      ['Model', models],
      ['Client', clients],
    ] as const
  ).map(([title, all]) => {
    if (all.length === 0) return '';
    const tasks = all.flatMap((standing) => tasksOf(standing));
    return html`${table(title, `${title}s that decided most, whose interval begins highest first`, all, needed)}
    ${
      tasks.length > 0 &&
      html`<details>
        <summary>${title}s by kind of task</summary>
        ${table(title, `${title}s by the kinds of task that each had most of`, tasks, needed)}
      </details>`
    }`;
  });
  return html`<p class="dim">
      Those that decided most in the last ${days} days, as ${source} knows them: how many of their decisions
      succeeded, and between what bounds the true share lies in 95 of 100 cases.
    </p>
    ${tables}`;
}

const tasksOf = ({ name, tasks }: Standing): Row[] =>
  tasks.map((result) => ({ ...result, name, task: result.name }));

function table(title: string, caption: string, rows: readonly Row[], needed: number): Html {
  return html`<table class="standings">
    <caption>
      ${caption}.
    </caption>
    <thead>
      <tr>
        <th scope="col">${title}</th>
        <th scope="col" class="number">Succeeded</th>
        <th scope="col"><span class="unseen">As a bar with whiskers</span></th>
        <th scope="col" class="number">Interval</th>
        <th scope="col">Judged by</th>
        <th scope="col" class="number">Judged</th>
        <th scope="col" class="number">Decisions</th>
        <th scope="col" class="number">Since</th>
      </tr>
    </thead>
    <tbody>
      ${rows.map((row) => rowOf(row, needed))}
    </tbody>
  </table>`;
}

function rowOf(row: Row, needed: number): Html {
  const { name, task, decisions, judged, judgedBy, since, warnings } = row;
  return html`<tr>
    <th scope="row">
      <bdi>${name}</bdi>${task !== undefined && html` <bdi class="dim">${task}</bdi>`}
      ${warnings.map((warning) => html`<small><bdi>${warning}</bdi></small>`)}
    </th>
    ${figures(row, needed)}
    <td class="judge" data-label="Judged by">
      ${judgedBy === null ? '–' : html`<bdi>${judgedBy.replaceAll('_', ' ')}</bdi>`}
    </td>
    <td class="number" data-label="Judged">${countText(judged)}</td>
    <td class="number" data-label="Decisions">${countText(decisions)}</td>
    <td class="number" data-label="Since">${since ?? '–'}</td>
  </tr>`;
}

function figures({ name, task, judged, share, interval }: Row, needed: number): Html {
  if (judged < needed || share === null || !interval)
    return html`<td class="dim" colspan="3" data-label="Succeeded">
      too few decisions to tell: needs ${needed}, has ${judged}
    </td>`;
  const [low, high] = interval;
  const between = html`${percentText(low)} to ${percentText(high)}`;
  return html`<td class="number" data-label="Succeeded">${percentText(share)}</td>
    <td>${whiskers(share, interval, `${name}${task === undefined ? '' : `, ${task}`}`)}</td>
    <td class="number" data-label="Interval">${between}</td>`;
}

const width = 160;
const height = 12;
const middle = height / 2;

function whiskers(share: number, [low, high]: readonly [number, number], label: string): Html {
  // The ends have a width, and stay within the picture.
  const at = (part: number) => Math.round(1 + part * (width - 2));
  const [from, to, bar] = [at(low), at(high), at(share)];
  return html`<svg
    class="whiskers"
    width="${width}"
    height="${height}"
    viewBox="0 0 ${width} ${height}"
    preserveAspectRatio="none"
    role="img"
    aria-label="${label}: ${percentText(share)} succeeded, between ${percentText(low)} and ${percentText(high)}"
  >
    <path class="none" d="M0 2h${width}v8h-${width}z"></path>
    <path class="full" d="M0 2h${bar}v8h-${bar}z"></path>
    <path class="ends" d="M${from} ${middle}H${to}M${from} 1v10M${to} 1v10"></path>
  </svg>`;
}
