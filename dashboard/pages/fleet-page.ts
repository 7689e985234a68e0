/** The page of the fleet: is all well, what is not, since when, why, and how much may still go wrong. Then everything else. */
import { entryOf, isService, offersTools } from '#config/catalogue.ts';
import type { Alert, Budget, Overview } from '#runtime/process/overview.ts';

import type { Assets } from '../assets.ts';
import { byTier, troubled, type Fleet, type Row } from '../fleet.ts';
import { countText, durationText, errorText, latencyText, shareText, sizeText } from '../format.ts';
import { bars } from './chart.ts';
import { elapsed, html, Pieces, type Html } from './html.ts';
import { iconOf, layout, shape } from './layout.ts';
import { observerSection } from './observers.ts';
import {
  banner,
  failedText,
  figureHeads,
  forText,
  incidentList,
  logList,
  pageOf,
  stateText,
  toolTable,
} from './parts.ts';
import { strip } from './strip.ts';

const fewBudgets = 8;
const fewTools = 12;
const fewIncidents = 8;

const nothingKnown = html`<p class="dim">Nothing is known.</p>`;

export interface Shown {
  readonly fleet: Fleet;
  readonly version: string;
  readonly nowMs: number;
  readonly assets: Assets;
  readonly nonce: string;
}

export function fleetPage({ fleet, version, nowMs, assets, nonce }: Shown): { page: Html; pieces: Pieces } {
  const pieces = new Pieces();
  const { piece } = pieces;
  const { status, overview, observers } = fleet;
  const summary = summaryOf(fleet);
  // Of a fleet that nobody watches nothing is known, which is as bad as can be.
  const shownStatus = fleet.health.answers ? status : 'down';
  const page = layout({
    title: `${summary} · Flotilla`,
    assets,
    live: { pieces, status: shownStatus, about: '', nonce, hasCharts: false },
    body: html`
      <header class="top">
        <p class="brand">Flotilla <span class="dim">${version}</span></p>
        <nav aria-label="Parts of this page">
          <a href="#processes">Processes</a>
          ${(overview?.budgets ?? []).length > 0 && html`<a href="#budgets">Budgets</a>`}
          ${observers.length > 0 && html`<a href="#observers">Observers</a>`}
          <a href="#tools">Tools</a> <a href="#incidents">Incidents</a> <a href="#backups">Backups</a>
          <a href="#connect">Connect</a>
        </nav>
        <p class="pulse dim" id="pulse"><noscript>Renewed every 30 s</noscript></p>
      </header>
      <main id="main" tabindex="-1">
        <div ${piece('banner', banner(fleet, nowMs))}</div>
        <section class="hero" aria-label="How the fleet is">
          <div>
            <h1 class="summary">
              <span role="status" ${piece('summary', html`<span class="${shownStatus}">${shape(shownStatus)}${summary}</span>`)}</span>
            </h1>
            <div ${piece('trouble', trouble(fleet, nowMs))}</div>
          </div>
          <dl class="facts" ${piece('facts', facts(fleet, nowMs))}</dl>
        </section>
        <span hidden ${piece('layout', layoutOf(fleet, version))}</span>
        <span hidden ${piece('icon', iconOf(shownStatus))}</span>
        <section id="processes" aria-labelledby="processes-title">
          <h2 id="processes-title">Processes</h2>
          ${processTable(fleet, nowMs, pieces)} ${absentText(fleet)}
        </section>
        <div ${piece('budgets', budgetSection(overview?.budgets ?? []))}</div>
        <div ${piece('observers', observerSection(observers))}</div>
        <section id="tools" aria-labelledby="tools-title">
          <h2 id="tools-title">Tools</h2>
          <div ${piece('tools', overview ? toolSection(overview.tools) : nothingKnown)}</div>
        </section>
        <div class="columns">
          <section id="incidents" aria-labelledby="incidents-title">
            <h2 id="incidents-title">Incidents</h2>
            <div ${piece('incidents', overview ? incidentSection(overview.incidents, nowMs) : nothingKnown)}</div>
          </section>
          <div>
            <section id="backups" aria-labelledby="backups-title">
              <h2 id="backups-title">Backups</h2>
              <div ${piece('backups', backupSection(overview, nowMs))}</div>
            </section>
            <section id="connect" aria-labelledby="connect-title">
              <h2 id="connect-title">Connect a client</h2>
              <div ${piece('connect', connectHint(fleet.processes))}</div>
            </section>
          </div>
        </div>
        <p class="foot dim" ${piece('foot', footText(fleet, nowMs))}</p>
      </main>
    `,
  });
  return { page, pieces };
}

/** What stands where: where this is another, a page is loaded anew. */
function layoutOf({ processes, overview, observers }: Fleet, version: string): string {
  const shownNames = processes.filter(({ status }) => status !== 'absent').map(({ name }) => name);
  return [version, (overview?.budgets ?? []).length > 0, observers.length > 0, ...shownNames].join(' ');
}

/** One sentence: the name of what is wrong, where that is one or two. */
export function summaryOf(fleet: Fleet): string {
  const { status, up, total, health } = fleet;
  if (!health.answers) return 'Health does not answer';
  if (status === 'unknown') return 'The fleet is coming up';
  const [first, second, ...more] = troubled(fleet);
  if (!first) return status === 'up' ? `All ${total} are up` : `${up} of ${total} are up`;
  const worst = [first, ...(second ? [second] : []), ...more].filter((row) => row.status === first.status);
  if (first.status === 'up') return second ? `${worst.length} come and go` : `${first.name} comes and goes`;
  const [one, other, ...rest] = worst;
  if (rest.length > 0) return `${worst.length} of ${total} are ${first.status}`;
  return other ? `${one?.name} and ${other.name} are ${first.status}` : `${one?.name} is ${first.status}`;
}

/** Kinds of alerts that are about one process. */
const ofProcess = new Set(['down', 'degraded', 'flapping']);

/** Most that is told of at once; the table has all. */
const mostTroubles = 6;

function trouble(fleet: Fleet, nowMs: number): Html {
  const { overview } = fleet;
  const rows = troubled(fleet);
  const told = new Set(rows.map(({ name }) => name));
  const all = overview?.alerts ?? [];
  // What a process's own line says already is not said again; what an alert knows beyond it is.
  const isOfRow = ({ kind, subject }: Alert) => ofProcess.has(kind) && told.has(subject);
  const alerts = all.filter((alert) => !isOfRow(alert));
  const known = new Map(all.filter(isOfRow).map(({ subject, why }) => [subject, why]));
  const warnings = [
    ...(overview?.backup?.troubles.map((text) => `Backups: ${text}`) ?? []),
    ...(overview?.warnings ?? []),
  ];
  if (rows.length + alerts.length + warnings.length === 0)
    return html`<p class="dim calm">${calmText(fleet, nowMs)}</p>`;
  return html`<ul class="troubles">
    ${rows.slice(0, mostTroubles).map((row) => troubleOf(row, known.get(row.name) ?? [], nowMs))}
    ${rows.length > mostTroubles && html`<li class="dim">and ${rows.length - mostTroubles} more, below</li>`}
    ${alerts.map((alert) => alertOf(alert, nowMs))}
    ${warnings.map(
      (text) =>
        html`<li>
          <span class="degraded">${shape('degraded')}</span><span><bdi>${text}</bdi></span>
        </li>`,
    )}
  </ul>`;
}

function troubleOf(row: Row, known: readonly string[], nowMs: number): Html {
  const { name, status, flapping, reason, lines } = row;
  return html`<li>
    <span class="${status === 'up' ? 'degraded' : status}"
      >${shape(status === 'up' ? 'degraded' : status)}</span
    >
    <span
      ><a href="${pageOf(name)}"><strong>${name}</strong></a> ${status}${flapping && ', flapping'} for
      ${forText(row, nowMs)}${[...(reason === null ? [] : [reason]), ...known].map((text) => html`<bdi class="reason">${text}</bdi>`)}
      ${
        lines.length > 0 &&
        html`<details>
          <summary>Last log lines</summary>
          ${logList(lines)}
        </details>`
      }</span
    >
  </li>`;
}

function alertOf({ severity, since, what, why, isQuiet }: Alert, nowMs: number): Html {
  const status = severity === 'page' ? 'down' : 'degraded';
  return html`<li>
    <span class="${status}">${shape(status)}</span>
    <span
      ><strong>${severity === 'page' ? 'Alert' : 'Ticket'}</strong>: <bdi>${what}</bdi>, for
      ${elapsed(since, nowMs, durationText)}${isQuiet && ', kept quiet by a maintenance window'}${why.map(
        (text) => html`<bdi class="reason">${text}</bdi>`,
      )}</span
    >
  </li>`;
}

function calmText({ overview, health }: Fleet, nowMs: number): Html | string {
  if (!health.answers || !overview) return '';
  const [latest] = overview.incidents;
  if (!latest) return 'No incident is known.';
  return html`The last incident was <a href="${pageOf(latest.name)}">${latest.name}</a>, ${latest.to},
    ${elapsed(latest.at, nowMs, durationText)} ago.`;
}

function facts({ overview, processes }: Fleet, nowMs: number): Html {
  if (!overview) return html``;
  const { traffic, budgets = [], backup } = overview;
  const worst = budgets
    .filter(({ remaining }) => remaining !== null)
    .toSorted((one, other) => (one.remaining ?? 1) - (other.remaining ?? 1))[0];
  const least = processes
    .filter(({ uptime }) => uptime.quarter !== null)
    .toSorted((one, other) => (one.uptime.quarter ?? 1) - (other.uptime.quarter ?? 1))[0];
  const { hour } = traffic;
  return html`${
      worst &&
      html`<div class="budget">
        <dt>Least error budget left</dt>
        <dd><span${(worst.remaining ?? 1) <= 0 && html` class="failed"`}>${budgetFigure(worst)}</span> <small>${worst.title}</small>${budgetBar(worst)}</dd>
      </div>`
    }
    <div>
      <dt>Calls, last hour</dt>
      <dd>${countText(hour.calls)} <small>${hour.calls === 0 ? '' : `${errorText(hour)} failed`}</small></dd>
    </div>
    <div>
      <dt>Answered in, p95</dt>
      <dd>
        ${latencyText(hour.p95Ms)}
        <small>${hour.p99Ms === null ? '' : `p99 ${latencyText(hour.p99Ms)}`}</small>
      </dd>
    </div>
    ${
      least &&
      html`<div>
        <dt>Least up, 90 days</dt>
        <dd>${shareText(least.uptime.quarter)} <small>${least.name}</small></dd>
      </div>`
    }
    ${
      backup &&
      html`<div>
        <dt>Proven backup</dt>
        <dd>
          ${elapsed(backup.lastVerifiedAt, nowMs, durationText)}
          <small>${backup.lastVerifiedAt === null ? 'none yet' : 'old'}</small>
        </dd>
      </div>`
    }
    <div class="traffic">
      <dt>Calls by half hour, 24 h</dt>
      <dd>${bars(traffic.calls, traffic.errors, 'Calls in the last 24 hours')}</dd>
    </div>`;
}

function processTable({ processes, overview }: Fleet, nowMs: number, { piece }: Pieces): Html {
  return html`<table class="processes">
    <caption>
      Every process. Calls, latency and restarts are of the last 24 hours. A bar of a strip is a half hour or
      a day: shorter where polls were missed, broken where most were, a dot where nobody polled.
    </caption>
    <thead>
      <tr>
        <th scope="col">Process</th>
        <th scope="col">State</th>
        <th scope="col">24 hours</th>
        <th scope="col">90 days</th>
        <th scope="col" class="number">Up, 90 d</th>
        ${figureHeads}
        <th scope="col" class="number">Restarts</th>
        <th scope="col" class="number">Memory</th>
      </tr>
    </thead>
    ${byTier(processes.filter(({ status }) => status !== 'absent')).map(
      ({ title, rows }) =>
        html`<tbody>
          <tr class="tier">
            <th scope="rowgroup" colspan="12">${title}</th>
          </tr>
          ${rows.map((row) => processRow(row, overview, nowMs, piece))}
        </tbody>`,
    )}
  </table>`;
}

function absentText({ processes }: Fleet): Html | '' {
  const absent = processes.filter(({ status }) => status === 'absent');
  if (absent.length === 0) return '';
  return html`<p class="absent">
    ${shape('absent')}absent, and not meant to run:
    ${absent.map(({ name }, index) => html`${index > 0 && ', '}<a href="${pageOf(name)}">${name}</a>`)}
  </p>`;
}

function processRow(row: Row, overview: Overview | undefined, nowMs: number, piece: Pieces['piece']): Html {
  const { name, reason, status } = row;
  const strips = stripsOf(row, overview);
  const state = html`${stateText(row)} <span class="dim">${forText(row, nowMs)}</span>${
      reason !== null && status !== 'absent' && html`<small><bdi>${reason}</bdi></small>`
    }`;
  return html`<tr>
    <th scope="row"><a href="${pageOf(name)}" title="${row.description}">${name}</a></th>
    <td class="state" ${piece(`${name}.state`, state)}</td>
    <td class="past minor" data-label="24 hours" ${piece(`${name}.day`, strips.day)}</td>
    <td class="past" data-label="90 days" ${piece(`${name}.quarter`, strips.quarter)}</td>
    <td class="number" data-label="Up, 90 d" ${piece(`${name}.uptime`, shareText(row.uptime.quarter))}</td>
    ${figurePieces(row, piece)}
    <td class="number minor" data-label="Restarts" ${piece(`${name}.restarts`, overview ? countText(row.restarts.day) : '–')}</td>
    <td class="number minor" data-label="Memory" ${piece(`${name}.memory`, sizeText(row.memoryBytes))}</td>
  </tr>`;
}

/** Cell by cell, as the table has no other element around them. */
function figurePieces({ name, day }: Row, piece: Pieces['piece']): Html {
  return html`<td class="number" data-label="Calls" ${piece(`${name}.calls`, day.calls === 0 ? '–' : countText(day.calls))}</td>
    <td class="number" data-label="Failed" ${piece(`${name}.failed`, failedText(day))}</td>
    <td class="number minor" data-label="p50" ${piece(`${name}.p50`, latencyText(day.p50Ms))}</td>
    <td class="number" data-label="p95" ${piece(`${name}.p95`, latencyText(day.p95Ms))}</td>
    <td class="number minor" data-label="p99" ${piece(`${name}.p99`, latencyText(day.p99Ms))}</td>`;
}

export function stripsOf({ name, dayStrip, quarterStrip }: Row, overview: Overview | undefined) {
  if (!overview) return { day: html``, quarter: html`` };
  const { dayCellMs, dayFrom, quarterCellMs, quarterFrom } = overview.strips;
  return {
    day: strip({ cells: dayStrip, cellMs: dayCellMs, from: dayFrom }, `${name}, last 24 hours`),
    quarter: strip(
      { cells: quarterStrip, cellMs: quarterCellMs, from: quarterFrom },
      `${name}, last 90 days`,
    ),
  };
}

function budgetFigure({ remaining }: Budget): string {
  if (remaining === null) return '–';
  // Rounded down: all of it is left only where nothing went wrong.
  return remaining > 0 ? `${Math.floor(remaining * 100)} %` : `spent ${(1 - remaining).toFixed(1)}×`;
}

const barWidth = 160;

function budgetBar({ remaining, title }: Budget): Html {
  const left = Math.round(Math.min(1, Math.max(0, remaining ?? 0)) * barWidth);
  const status = (remaining ?? 1) <= 0 ? 'most' : (remaining ?? 1) < 0.25 ? 'some' : 'full';
  return html`<svg
    class="budget-bar"
    width="${barWidth}"
    height="8"
    viewBox="0 0 ${barWidth} 8"
    preserveAspectRatio="none"
    role="img"
    aria-label="${title}: error budget left"
  >
    <path class="none" d="M0 0h${barWidth}v8h-${barWidth}z"></path>
    <path class="${status}" d="M0 0h${left}v8h-${left}z"></path>
  </svg>`;
}

function budgetSection(budgets: readonly Budget[]): Html {
  if (budgets.length === 0) return html``;
  const sorted = budgets.toSorted((one, other) => (one.remaining ?? 2) - (other.remaining ?? 2));
  const rest = sorted.slice(fewBudgets);
  return html`<section id="budgets" aria-labelledby="budgets-title">
    <h2 id="budgets-title">Error budgets</h2>
    ${budgetTable(
      sorted.slice(0, fewBudgets),
      'What may still go wrong in the window of each objective, the least first. At a burn rate of 1 a budget is used up when its window ends',
    )}
    ${
      rest.length > 0 &&
      html`<details>
        <summary>${rest.length} more</summary>
        ${budgetTable(rest, 'Objectives with more budget left')}
      </details>`
    }
  </section>`;
}

function budgetTable(budgets: readonly Budget[], caption: string): Html {
  return html`<table class="budgets">
    <caption>
      ${caption}.
    </caption>
    <thead>
      <tr>
        <th scope="col">Objective</th>
        <th scope="col" class="number">Target</th>
        <th scope="col" class="number">Reached</th>
        <th scope="col" class="number">Budget left</th>
        <th scope="col"><span class="unseen">As a bar</span></th>
        <th scope="col" class="number">Burn rate</th>
        <th scope="col" class="number">Window</th>
      </tr>
    </thead>
    <tbody>
      ${budgets.map((budget) => budgetRow(budget))}
    </tbody>
  </table>`;
}

function budgetRow(budget: Budget): Html {
  const { title, events, target, good, remaining, burnRate, windowDays, known } = budget;
  const isSpent = remaining !== null && remaining <= 0;
  return html`<tr>
    <th scope="row"><bdi>${title}</bdi> <bdi class="dim">${events}</bdi></th>
    <td class="number" data-label="Target">${targetText(target)}</td>
    <td class="number" data-label="Reached">
      ${good === null ? '–' : `${(Math.floor(good * 1e5) / 1e3).toFixed(3)} %`}
    </td>
    <td class="number${isSpent ? ' failed' : ''}" data-label="Budget left">${budgetFigure(budget)}</td>
    <td>${budgetBar(budget)}</td>
    <td class="number" data-label="Burn rate">
      ${burnRate === null ? '–' : burnRate.toFixed(burnRate < 10 ? 1 : 0)}
    </td>
    <td class="number" data-label="Window">${windowText(known, windowDays)}</td>
  </tr>`;
}

/** Of a young fleet most of the window is not known yet. */
function windowText(known: number, windowDays: number): string {
  return known < 0.99 ? `${durationText(known * windowDays * dayMs)} of ${windowDays} d` : `${windowDays} d`;
}

const dayMs = 24 * 3_600_000;

/** Without noise of binary fractions: `99.9 %`. */
const targetText = (share: number) => `${Number((share * 100).toFixed(4))} %`;

function toolSection(tools: Overview['tools']): Html {
  if (tools.length === 0) return html`<p class="dim">Nobody has called a tool in the last 24 hours.</p>`;
  const rest = tools.slice(fewTools);
  return html`${toolTable(tools.slice(0, fewTools), 'Tools that were called in the last 24 hours, most calls first', true)}
  ${
    rest.length > 0 &&
    html`<details>
      <summary>${rest.length} more</summary>
      ${toolTable(rest, 'Tools with fewer calls', true)}
    </details>`
  }`;
}

function incidentSection(incidents: Overview['incidents'], nowMs: number): Html {
  const rest = incidents.slice(fewIncidents);
  return html`${incidentList(incidents.slice(0, fewIncidents), nowMs, true)}
  ${
    rest.length > 0 &&
    html`<details>
      <summary>${rest.length} more</summary>
      ${incidentList(rest, nowMs, true)}
    </details>`
  }`;
}

function backupSection(overview: Overview | undefined, nowMs: number): Html {
  const backup = overview?.backup;
  if (!backup) return overview ? html`<p class="dim">None are made here.</p>` : nothingKnown;
  const { lastSuccessAt, lastVerifiedAt, recoveryPointAgeMs, restoreMs, sizeBytes, failures, troubles } =
    backup;
  const ago = (at: string | null | undefined) =>
    at ? html`${elapsed(at, nowMs, durationText)} ago` : 'none yet';
  return html`${troubles.map(
      (text) =>
        html`<p>
          <span class="degraded">${shape('degraded')}</span><bdi>${text}</bdi> See:
          <code>flotilla backups</code>
        </p>`,
    )}
    <dl class="pairs">
      <dt>Last made</dt>
      <dd>${ago(lastSuccessAt)}</dd>
      <dt>Last proven</dt>
      <dd>${ago(lastVerifiedAt)}</dd>
      <dt>A loss now would take</dt>
      <dd>${recoveryPointAgeMs == null ? '–' : durationText(recoveryPointAgeMs)}</dd>
      <dt>The last proof restored all in</dt>
      <dd>${restoreMs == null ? '–' : latencyText(restoreMs)}</dd>
      <dt>Size</dt>
      <dd>${sizeText(sizeBytes ?? null)}</dd>
      <dt>Attempts that failed</dt>
      <dd>${failures === undefined ? '–' : countText(failures)}</dd>
    </dl>`;
}

function connectHint(processes: readonly Row[]): Html {
  const runs = processes.filter(({ status }) => status !== 'absent');
  // What stands in front of all is the one to connect to, where it runs.
  const target =
    runs.find((row) => !isService(row) && offersTools(entryOf(row.name) ?? row)) ??
    runs.find((row) => isService(row));
  return html`<p><code>flotilla connect</code> prints the configuration for your client.</p>
    ${
      target &&
      html`<p>
        By hand: the URL <code>http://127.0.0.1:${target.port}/mcp</code> with the header
        <code>Authorization: Bearer TOKEN</code>.
      </p>`
    }`;
}

function footText({ health }: Fleet, nowMs: number): Html | string {
  if (!health.answers) return '';
  return html`${health.polledAt === null ? 'Health has not polled yet' : html`Health polls every second`} and
  has run for ${elapsed(health.startedAt, nowMs, durationText)}. Times are in UTC.`;
}
