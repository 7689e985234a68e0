/** The report as one page: no script, nothing to fetch, light and dark; every name is escaped. */
import { hash } from 'node:crypto';

import { html, raw } from 'hono/html';

import { shortKey } from '../subject.ts';
import type { PairRow, ReportData } from './report.ts';
import { shownInterval, shownMix, shownP, shownValue } from './shown.ts';
import { style } from './style.ts';

type Html = ReturnType<typeof html>;

/** Only this style may apply; nothing is loaded, run, framed or sent. */
const policy = `default-src 'none'; style-src 'sha256-${hash('sha256', style, 'base64')}'; base-uri 'none'; form-action 'none'`;

export async function reportPage(data: ReportData): Promise<string> {
  const page = await html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>${data.title}</title>
        ${raw(`<style>${style}</style>`)}
      </head>
      <body>
        <header>
          <h1>${data.title}</h1>
          <p class="dim">
            As of
            <time datetime="${data.as_of}">${data.as_of.slice(0, 16).replace('T', ' ')} UTC</time
            >${data.task_type === null ? '' : `, task type ${data.task_type}`}. Bars are 95 % intervals.
          </p>
        </header>
        <main>
          <ul class="summary">
            ${data.summary.map((line) => html`<li>${line}</li>`)}
          </ul>
          ${rankingSection(data)} ${pairsSection(data.pairs)} ${tasksSection(data)} ${judgesSection(data)}
          ${
            data.warnings.length > 0
              ? html`<section>
                  <h2>What is missing</h2>
                  <ul>
                    ${data.warnings.map((line) => html`<li>${line}</li>`)}
                  </ul>
                </section>`
              : ''
          }
        </main>
        <footer class="dim">
          <p>Snapshot ${data.snapshot_id}, seed ${data.seed}. Made by Flotilla.</p>
        </footer>
      </body>
    </html> `;
  return page.toString();
}

/** An interval with its point, and where 0 or the mean is, in a common scale. Words stand beside it, so that it may be any width. */
function bar(
  { value, low, high }: { readonly value: number; readonly low: number; readonly high: number },
  scale: Scale,
  label: string,
  tone: string,
): Html {
  const x = (at: number) =>
    ((Math.min(Math.max(at, scale.from), scale.to) - scale.from) / (scale.to - scale.from || 1)) * 100;
  return html`<svg
    class="bar ${tone}"
    role="img"
    aria-label="${label}"
    viewBox="0 0 100 12"
    preserveAspectRatio="none"
  >
    <line
      class="middle"
      x1="${x(scale.middle).toFixed(2)}"
      x2="${x(scale.middle).toFixed(2)}"
      y1="0"
      y2="12"
    />
    <rect
      class="range"
      x="${x(low).toFixed(2)}"
      y="3"
      width="${Math.max(0.4, x(high) - x(low)).toFixed(2)}"
      height="6"
      rx="0.6"
    />
    <rect class="point" x="${(x(value) - 0.4).toFixed(2)}" y="1" width="0.8" height="10" />
  </svg>`;
}

interface Scale {
  readonly from: number;
  readonly to: number;
  readonly middle: number;
}

function scaleOf(bounds: readonly number[], middle: number): Scale {
  const [from, to] = [Math.min(middle, ...bounds), Math.max(middle, ...bounds)];
  const room = (to - from) * 0.03 || 1;
  return { from: from - room, to: to + room, middle };
}

function rankingSection({ ranking, kind }: ReportData): Html | '' {
  if (!ranking) return '';
  const scale = scaleOf(
    ranking.rows.flatMap(({ ci95 }) => ci95),
    1000,
  );
  return html`<section>
    <h2>Ranking</h2>
    <table>
      <thead>
        <tr>
          <th scope="col" class="number">Rank</th>
          <th scope="col">${kind === 'model' ? 'Model' : 'Client'}</th>
          <th scope="col" class="wide">Rating</th>
          <th scope="col" class="number">Games</th>
          <th scope="col" class="number">Won–lost–tied</th>
          <th scope="col">Against the next</th>
        </tr>
      </thead>
      <tbody>
        ${ranking.rows.map((row) => {
          const [low = 0, high = 0] = row.ci95;
          const said = `${row.rating.toFixed(0)} (${low.toFixed(0)} to ${high.toFixed(0)})`;
          return html`<tr>
            <td class="number" data-label="Rank">
              ${row.rank === row.worst_rank ? row.rank : `${row.rank}–${row.worst_rank}`}
            </td>
            <th scope="row">${shortKey(row.model)}</th>
            <td class="wide" data-label="Rating">
              <span class="figure">${said}</span>
              ${bar({ value: row.rating, low, high }, scale, `${shortKey(row.model)}: ${said}`, '')}
            </td>
            <td class="number" data-label="Games">${row.n}</td>
            <td class="number" data-label="Won–lost–tied">${row.wins}–${row.losses}–${row.ties}</td>
            <td data-label="Against the next">
              ${row.vs_next ? html`${verdict(row.vs_next.verdict)} <small>p ${shownP(row.vs_next.p_adjusted)}</small>` : '–'}
            </td>
          </tr>`;
        })}
      </tbody>
    </table>
    <p class="dim">
      ${ranking.method}. Sources: ${shownMix(ranking.source_mix)}. The line is the mean. A rank is as good as
      the intervals allow, and as bad; the p-values are Holm's. ${ranking.warnings.join(' ')}
    </p>
    ${ranking.unranked.length > 0 ? html`<p class="dim">Not ranked: ${ranking.unranked.map(({ model }) => shortKey(model)).join(', ')}.</p>` : ''}
  </section>`;
}

const tones: Readonly<Record<string, string>> = { better: 'up', worse: 'down', equivalent: 'even' };
const signs: Readonly<Record<string, string>> = {
  better: '▲',
  worse: '▼',
  equivalent: '=',
  inconclusive: '?',
};

const verdict = (said: string): Html =>
  html`<span class="verdict ${tones[said] ?? ''}"
    ><span aria-hidden="true">${signs[said] ?? ''}</span> ${said}</span
  >`;

function pairsSection(pairs: readonly PairRow[]): Html | '' {
  if (pairs.length === 0) return '';
  const scale = scaleOf(
    pairs.flatMap(({ ci95 }) => ci95 ?? []),
    0,
  );
  return html`<section>
    <h2>Each two</h2>
    <table>
      <thead>
        <tr>
          <th scope="col">Compared</th>
          <th scope="col" class="wide">Difference</th>
          <th scope="col" class="number">n</th>
          <th scope="col" class="number">p</th>
          <th scope="col">The first is</th>
        </tr>
      </thead>
      <tbody>
        ${pairs.map((pair) => {
          const said = `${shownValue(pair)} (${shownInterval(pair)})`;
          const [low, high] = pair.ci95 ?? [];
          return html`<tr>
            <th scope="row">${shortKey(pair.one)} <small>against</small> ${shortKey(pair.other)}</th>
            <td class="wide" data-label="Difference">
              <span class="figure">${said}</span>
              ${
                low === undefined || high === undefined || pair.value === null
                  ? ''
                  : bar({ value: pair.value, low, high }, scale, said, tones[pair.verdict ?? ''] ?? '')
              }
            </td>
            <td class="number" data-label="n">${pair.n}</td>
            <td class="number" data-label="p">${shownP(pair.p_adjusted)}</td>
            <td data-label="The first is">
              ${verdict(pair.verdict ?? 'inconclusive')}
              ${pair.needed_n === undefined ? '' : html`<small>needs n ${pair.needed_n}</small>`}
            </td>
          </tr>`;
        })}
      </tbody>
    </table>
    <p class="dim">
      ${pairs[0]?.method}. The line is no difference; p-values are adjusted by Benjamini-Hochberg.
    </p>
  </section>`;
}

function tasksSection({ strengths }: ReportData): Html | '' {
  const rows = strengths.flatMap((profile) =>
    [...profile.strengths, ...profile.weaknesses, ...profile.others].map((row) => ({
      ...row,
      key: profile.key,
    })),
  );
  if (rows.length === 0) return '';
  const scale = scaleOf(
    rows.flatMap(({ ci95 }) => ci95 ?? []),
    0,
  );
  return html`<section>
    <h2>By kind of task</h2>
    ${strengths.map(
      (profile) =>
        html`<h3>${shortKey(profile.key)}</h3>
          <p>
            Overall ${shownValue(profile.overall)} (${shownInterval(profile.overall)}), n
            ${profile.overall.n}.
          </p>
          ${
            profile.confidence_gap
              ? html`<p>
                  Confidence less success ${shownValue(profile.confidence_gap)}
                  (${shownInterval(profile.confidence_gap)}), n ${profile.confidence_gap.n}.
                </p>`
              : ''
          }
          <table>
            <thead>
              <tr>
                <th scope="col">Task type</th>
                <th scope="col" class="wide">Difference</th>
                <th scope="col" class="number">n</th>
                <th scope="col" class="number">p</th>
                <th scope="col">Verdict</th>
              </tr>
            </thead>
            <tbody>
              ${rows
                .filter(({ key }) => key === profile.key)
                .map((row) => {
                  const said = `${shownValue(row)} (${shownInterval(row)})`;
                  const [low, high] = row.ci95 ?? [];
                  return html`<tr>
                    <th scope="row">${row.task_type}</th>
                    <td class="wide" data-label="Difference">
                      <span class="figure">${said}</span>
                      ${
                        low === undefined || high === undefined || row.value === null
                          ? ''
                          : bar({ value: row.value, low, high }, scale, said, tones[row.verdict ?? ''] ?? '')
                      }
                    </td>
                    <td class="number" data-label="n">${row.n}</td>
                    <td class="number" data-label="p">${shownP(row.p_adjusted)}</td>
                    <td data-label="Verdict">${verdict(row.verdict ?? 'inconclusive')}</td>
                  </tr>`;
                })}
            </tbody>
          </table>
          <p class="dim">
            ${[...profile.strengths, ...profile.weaknesses, ...profile.others][0]?.method ?? ''}.
          </p>`,
    )}
  </section>`;
}

function judgesSection({ agreement }: ReportData): Html | '' {
  if (!agreement) return '';
  return html`<section>
    <h2>Judges</h2>
    <p>
      Krippendorff's α ${shownValue(agreement.alpha)} (${shownInterval(agreement.alpha)}), n
      ${agreement.alpha.n}. ${agreement.alpha.warnings.join(' ')}
    </p>
    <ul>
      ${agreement.pairs.map(
        (pair) =>
          html`<li>
            ${pair.judges.join(' and ')}: κ ${shownValue(pair)} (${shownInterval(pair)}), n ${pair.n}
          </li>`,
      )}
      ${agreement.swaps.map(
        (swap) =>
          html`<li>
            ${swap.judge}: the same in both orders ${shownValue(swap)} (${shownInterval(swap)}), n ${swap.n}.
            ${swap.warnings.join(' ')}
          </li>`,
      )}
    </ul>
  </section>`;
}
