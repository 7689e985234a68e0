/** The page of one process: what it is, how it has been, what was called, and what it logged. */
import { entryOf } from '#config/catalogue.ts';
import type { Detail } from '#runtime/process/overview.ts';

import type { Row } from '../fleet.ts';
import { countText, durationText, errorText, latencyText, shareText, sizeText } from '../format.ts';
import { lineChart, type Line } from './chart.ts';
import { summaryOf, stripsOf, type Shown } from './fleet-page.ts';
import { elapsed, embedded, html, Pieces, raw, type Html } from './html.ts';
import { iconOf, layout, shape } from './layout.ts';
import { banner, forText, incidentList, kindsText, logList, stateText, toolTable } from './parts.ts';

/** Charts as both ways draw them: as a picture here, and by a script in its place. */
interface Chart {
  readonly title: string;
  readonly unit: 'count' | 'ms' | 'bytes' | 'share';
  readonly lines: readonly Line[];
}

const texts: Readonly<Record<Chart['unit'], (value: number) => string>> = {
  count: countText,
  ms: latencyText,
  bytes: sizeText,
  share: (value) => `${Math.round(value * 100)} %`,
};

export function processPage(row: Row, shown: Shown): { page: Html; pieces: Pieces } {
  const { fleet, version, nowMs, assets, nonce } = shown;
  const pieces = new Pieces();
  const { piece } = pieces;
  const { overview } = fleet;
  const { name, description, port, tier } = row;
  const entry = entryOf(name);
  const detail = overview?.detail?.name === name ? overview.detail : undefined;
  const tools = (overview?.tools ?? []).filter((tool) => tool.name === name);
  const charts = chartsOf(detail);
  const strips = stripsOf(row, overview);
  const page = layout({
    title: `${name} is ${row.status} · Flotilla`,
    assets,
    live: { pieces, status: row.status, about: name, nonce, hasCharts: true },
    body: html`
      <header class="top">
        <p class="brand"><a href="/dashboard">Flotilla</a> <span class="dim">${version}</span></p>
        <nav aria-label="Parts of this page">
          <a href="/dashboard">All processes</a> <a href="#charts">Charts</a> <a href="#tools">Tools</a>
          <a href="#incidents">Incidents</a> <a href="#log">Log</a>
        </nav>
        <p class="pulse dim" id="pulse"><noscript>Renewed every 30 s</noscript></p>
      </header>
      <main id="main" tabindex="-1">
        <div ${piece('banner', banner(fleet, nowMs))}</div>
        <section class="hero" aria-label="How ${name} is">
          <div>
            <p class="crumb dim" ${piece('fleet', html`<a href="/dashboard">${shape(fleet.status)}${summaryOf(fleet)}</a>`)}</p>
            <h1 class="summary">${name} <span role="status" ${piece('summary', stateText(row))}</span></h1>
            <p class="dim">${description}</p>
            <div ${piece('trouble', stateOf(row, nowMs))}</div>
          </div>
          <dl class="facts" ${piece('facts', facts(row, nowMs))}</dl>
        </section>
        <span hidden ${piece('icon', iconOf(row.status))}</span>
        <section class="pasts" aria-label="Its past">
          <div>
            <h2>24 hours <span class="dim" ${piece('day-share', shareText(row.uptime.day))}</span></h2>
            <div class="wide" ${piece('day', strips.day)}</div>
          </div>
          <div>
            <h2>90 days <span class="dim" ${piece('quarter-share', shareText(row.uptime.quarter))}</span></h2>
            <div class="wide" ${piece('quarter', strips.quarter)}</div>
          </div>
        </section>
        <section id="charts" aria-labelledby="charts-title">
          <h2 id="charts-title">Last 24 hours, by 5 minutes</h2>
          <div class="charts">
            ${charts.map(
              (chart, index) =>
                html`<figure data-chart="${index}">
                  <figcaption>
                    ${chart.title}
                    ${chart.lines.length > 1 && chart.lines.map((line, at) => html` <span class="key key-${at}">${line.name}</span>`)}
                  </figcaption>
                  <div class="drawn" ${piece(`chart-${index}`, pictureOf(chart))}</div>
                </figure>`,
            )}
          </div>
          <script type="application/json" id="series" ${piece('series', embedded(seriesOf(detail, charts)))}</script>
        </section>
        <section id="tools" aria-labelledby="tools-title">
          <h2 id="tools-title">Tools</h2>
          <div
            ${piece(
              'tools',
              tools.length === 0
                ? html`<p class="dim">
                    None was called in the last 24 hours${fleet.health.answers ? '' : ', as far as is known'}.
                  </p>`
                : toolTable(tools, `Tools of ${name} that were called in the last 24 hours`, false),
            )}</div
          >
        </section>
        <div class="columns">
          <section id="incidents" aria-labelledby="incidents-title">
            <h2 id="incidents-title">Incidents</h2>
            <div ${piece('incidents', incidentList(detail?.incidents ?? [], nowMs, false))}</div>
          </section>
          <section aria-labelledby="about-title">
            <h2 id="about-title">About it</h2>
            <dl class="pairs">
              <dt>Address</dt>
              <dd><code>127.0.0.1:${port}</code></dd>
              <dt>Tier</dt>
              <dd>${tier}</dd>
              <dt>Network</dt>
              <dd>${entry?.network ?? '–'}</dd>
              <dt>Keeps</dt>
              <dd>${entry?.data ?? 'nothing'}</dd>
            </dl>
            <dl class="pairs" ${piece('about', about(row))}</dl>
          </section>
        </div>
        <section id="log" aria-labelledby="log-title">
          <h2 id="log-title">Last log lines</h2>
          <div ${piece('log', logList(detail?.lines ?? []))}</div>
        </section>
      </main>
    `,
  });
  return { page, pieces };
}

function stateOf(row: Row, nowMs: number): Html {
  const { status, reason } = row;
  if (status === 'absent') return html`<p>It does not run, and is not meant to.</p>`;
  const since = forText(row, nowMs);
  return html`<p>
    ${since !== '' && html`${status === 'up' ? 'Up' : 'So'} for ${since}`}${reason !== null && html`<bdi class="reason">${reason}</bdi>`}
  </p>`;
}

function facts({ day, latencyMs, restarts, memoryBytes, refused, startedAt }: Row, nowMs: number): Html {
  return html`<div>
      <dt>Calls, 24 h</dt>
      <dd>${countText(day.calls)} <small>${day.calls === 0 ? '' : `${errorText(day)} failed`}</small></dd>
    </div>
    <div>
      <dt>Answered in, p95</dt>
      <dd>
        ${latencyText(day.p95Ms)}
        <small>${day.p99Ms === null ? '' : `p99 ${latencyText(day.p99Ms)}`}</small>
      </dd>
    </div>
    <div>
      <dt>Last poll took</dt>
      <dd>${latencyText(latencyMs)}</dd>
    </div>
    <div>
      <dt>Runs for</dt>
      <dd>
        ${elapsed(startedAt, nowMs, durationText)}
        <small
          >${restarts.day === 0 ? 'no restart in 24 h' : `${countText(restarts.day)} restarts in 24 h`}</small
        >
      </dd>
    </div>
    <div>
      <dt>Memory</dt>
      <dd>${sizeText(memoryBytes)}</dd>
    </div>
    ${
      (day.errors > 0 || refused > 0) &&
      html`<div>
        <dt>Failed, 24 h</dt>
        <dd>
          <small
            >${kindsText({ ...day.errorsByKind, ...(refused > 0 && { 'refused at the door': refused }) })}</small
          >
        </dd>
      </div>`
    }`;
}

function about({ version, kept, restarts, uptime }: Row): Html {
  return html`<dt>Version</dt>
    <dd>${version ?? '–'}</dd>
    <dt>Restarts, 90 days</dt>
    <dd>${countText(restarts.quarter)}</dd>
    <dt>Up, last hour</dt>
    <dd>${shareText(uptime.hour)}</dd>
    ${
      kept &&
      html`<dt>Kept for callers</dt>
        <dd>
          ${sizeText(kept.bytes)}${kept.fullest && html`; <bdi>${kept.fullest.owner}</bdi> has used ${shareText(kept.fullest.share)} of its quota`}
        </dd>`
    }`;
}

function chartsOf(detail: Detail | undefined): readonly Chart[] {
  const of = (key: 'calls' | 'errors' | 'p50Ms' | 'p95Ms' | 'p99Ms' | 'memoryBytes' | 'cpuShare') =>
    detail?.[key] ?? [];
  return [
    {
      title: 'Calls',
      unit: 'count',
      lines: [
        { name: 'all', values: of('calls') },
        { name: 'failed', values: of('errors') },
      ],
    },
    {
      title: 'Answered in',
      unit: 'ms',
      lines: [
        { name: 'p50', values: of('p50Ms') },
        { name: 'p95', values: of('p95Ms') },
        { name: 'p99', values: of('p99Ms') },
      ],
    },
    { title: 'Memory', unit: 'bytes', lines: [{ name: 'memory', values: of('memoryBytes') }] },
    { title: 'Processor', unit: 'share', lines: [{ name: 'of one core', values: of('cpuShare') }] },
  ];
}

function pictureOf({ title, unit, lines }: Chart): Html {
  const most = Math.max(0, ...lines.flatMap(({ values }) => values.filter((value) => value !== null)));
  return html`<span class="most dim">${most === 0 ? 'nothing yet' : texts[unit](most)}</span
    >${raw(lineChart(lines, title, texts[unit]).toString())}`;
}

function seriesOf(detail: Detail | undefined, charts: readonly Chart[]) {
  if (!detail) return null;
  return { lastMs: Date.parse(detail.lastCellAt), cellMs: detail.cellMs, charts };
}
