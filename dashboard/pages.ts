/** The pages, rendered on the server; `html` escapes whatever it is given. */
import { html } from 'hono/html';

import { isService } from '#config/catalogue.ts';

import type { Fleet, Row } from './fleet.ts';
import { durationText, latencyText, shareText, sizeText } from './format.ts';
import { styleElement } from './style.ts';

export type Page = ReturnType<typeof html>;

const refreshSeconds = 5;

/** Told by word and shape; the colour only adds to it. */
const shapes = { up: '●', degraded: '▲', down: '✕', absent: '○', unknown: '?' } as const;

export function fleetPage(fleet: Fleet, version: string, nowMs: number): Page {
  const { status, health, processes } = fleet;
  const summary = summaryOf(fleet);
  return layout(
    summary,
    html`<meta http-equiv="refresh" content="${refreshSeconds}" />`,
    html`
      <header>
        <h1>Flotilla</h1>
        <span class="dim">version ${version}</span>
        <p class="summary ${status}" role="status">${shape(status)}${summary}</p>
      </header>
      ${banner(health)}
      <div class="card">
        <table>
          <caption>
            Every process of the fleet, as last polled
          </caption>
          <thead>
            <tr>
              <th scope="col">Process</th>
              <th scope="col">Status</th>
              <th scope="col">For</th>
              <th scope="col" class="number">Latency</th>
              <th scope="col">Keeps</th>
              <th scope="col" class="number">Up, 1 h</th>
              <th scope="col" class="number">Up, 24 h</th>
              <th scope="col">Tier</th>
              <th scope="col" class="number">Port</th>
            </tr>
          </thead>
          <tbody>
            ${processes.map((row) => rowOf(row, nowMs))}
          </tbody>
        </table>
      </div>
      <p class="dim after">${pollText(health)} This page renews itself every ${refreshSeconds} s.</p>
      ${backupText(fleet, nowMs)} ${connectHint(processes)}
    `,
  );
}

function summaryOf({ status, up, total }: Fleet): string {
  if (status === 'unknown') return 'The state of the fleet is not known';
  return status === 'up' ? `All ${total} are up` : `${up} of ${total} are up`;
}

function rowOf(row: Row, nowMs: number): Page {
  const { name, status, reason, since, latencyMs, kept, uptime, tier, port, description } = row;
  return html`<tr>
    <th scope="row"><strong>${name}</strong><small>${description}</small></th>
    <td class="status">
      <span class="${status}">${shape(status)}${status}</span>${reason && html`<small>${reason}</small>`}
    </td>
    <td data-label="For">${status === 'absent' ? '–' : sinceText(since, nowMs)}</td>
    <td class="number" data-label="Latency">${latencyText(latencyMs)}</td>
    <td data-label="Keeps">${keptText(kept)}</td>
    <td class="number" data-label="Up, 1 h">${shareText(uptime.hour)}</td>
    <td class="number" data-label="Up, 24 h">${shareText(uptime.day)}</td>
    <td data-label="Tier">${tier}</td>
    <td class="number" data-label="Port">${port}</td>
  </tr>`;
}

/** With the token that is the first to be refused. */
function keptText(kept: Row['kept']): Page | string {
  if (!kept) return '–';
  const { bytes, fullest } = kept;
  return html`${sizeText(bytes)}${fullest && html`<small>${fullest.owner}: ${shareText(fullest.share)} of its quota</small>`}`;
}

function sinceText(since: string | null, nowMs: number): Page | string {
  if (since === null) return '–';
  return html`<time datetime="${since}">${durationText(Math.max(0, nowMs - Date.parse(since)))}</time>`;
}

function shape(status: Row['status']): Page {
  return html`<span class="shape" aria-hidden="true">${shapes[status]}</span>`;
}

function banner({ answers, failure, stale, ageMs }: Fleet['health']): Page | '' {
  if (!answers) {
    return html`<p class="banner" role="alert">
      <strong>Health does not answer</strong> (${failure}), so nothing is known about the fleet. See:
      <code>flotilla logs health</code>
    </p>`;
  }
  if (!stale) return '';
  return html`<p class="banner" role="alert">
    <strong>What is shown is ${durationText(ageMs ?? 0)} old</strong>: health answers, but has stopped
    polling.
  </p>`;
}

function pollText({ answers, ageMs, uptimeMs }: Fleet['health']): string {
  if (!answers || uptimeMs === null) return '';
  const polled = ageMs === null ? 'has not polled yet' : `polled ${durationText(ageMs)} ago`;
  return `Health ${polled} and has run for ${durationText(uptimeMs)}.`;
}

function backupText({ backup }: Fleet, nowMs: number): Page | '' {
  if (!backup) return '';
  const { lastVerifiedAt, restoreMs, troubles } = backup;
  if (troubles.length > 0) {
    return html`<p class="banner" role="alert">
      <strong>Backups need a look:</strong> ${troubles.join('; ')}. See: <code>flotilla backups</code>
    </p>`;
  }
  if (lastVerifiedAt === null) return '';
  const ageMs = Math.max(0, nowMs - Date.parse(lastVerifiedAt));
  const taking = restoreMs == null ? '' : `; to restore it took ${(restoreMs / 1_000).toFixed(1)} s`;
  return html`<p class="dim">The newest proven backup was made ${durationText(ageMs)} ago${taking}.</p>`;
}

function connectHint(processes: readonly Row[]): Page | '' {
  const service = processes.find((row) => isService(row) && row.status !== 'absent');
  if (!service) return '';
  return html`<h2>Connect a client</h2>
    <p>
      <code>flotilla connect</code> prints the configuration for your client. By hand: the URL
      <code>http://127.0.0.1:${service.port}/mcp</code> with the header
      <code>Authorization: Bearer TOKEN</code>.
    </p>`;
}

/** For whoever comes without a good link, token or cookie; `reason` is one sentence. */
export function refusalPage(reason: string): Page {
  return layout(
    'Not signed in',
    '',
    html`
      <h1>Flotilla</h1>
      <p class="summary">${reason}</p>
      <p>Open the dashboard by a link that is good once: <code>flotilla dashboard</code> prints one.</p>
      <p class="dim">Programs send a token: <code>Authorization: Bearer TOKEN</code>.</p>
    `,
  );
}

function layout(title: string, head: Page | '', body: Page): Page {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        ${head}
        <title>${title} · Flotilla</title>
        <link rel="icon" href="data:," />
        ${styleElement}
      </head>
      <body>
        <main>${body}</main>
      </body>
    </html>`;
}
