/** The report as one page: no script, nothing to fetch, in the dashboard's clothes. */
import { html, raw } from 'hono/html';

import { readStyle } from '../../dashboard/assets.ts';
import { isNumeric, originOf, shown, shownRows, type Report } from './report.ts';
import type { Section } from './section.ts';

export async function reportPage(report: Report): Promise<string> {
  const page = await html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Flotilla: what it takes</title>
        ${raw(`<style>${readStyle()}</style>`)}
      </head>
      <body>
        <main>
          <header>
            <h1>Flotilla</h1>
            <p class="summary">What it takes</p>
          </header>
          <p class="dim">${originOf(report)}</p>
          ${report.sections.map(sectionHtml)}
        </main>
      </body>
    </html> `;
  return page.toString();
}

function sectionHtml(section: Section) {
  if (section.skipped !== undefined) {
    return html`<h2>${section.title}</h2>
      <p class="dim">Skipped: ${section.skipped}.</p>`;
  }
  const { columns, faults = [] } = section;
  return html`<h2>${section.title}</h2>
    ${faults.map((fault) => html`<p class="banner">Not to be trusted: ${fault}.</p>`)} ${chartHtml(section)}
    <div class="card" style="overflow-x: auto">
      <table>
        <caption>
          ${section.title}
        </caption>
        <thead>
          <tr>
            ${columns.map(({ name }, index) => html`<th scope="col" class="${cellClass(section, index)}">${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${shownRows(section).map((row) => rowHtml(section, row))}
        </tbody>
      </table>
    </div>
    <p class="dim after">${section.method}</p>`;
}

function rowHtml(section: Section, [label = '', ...cells]: readonly string[]) {
  return html`<tr>
    <th scope="row"><strong>${label}</strong></th>
    ${cells.map((cell, index) => {
      const className = cellClass(section, index + 1);
      // Words may break, numbers may not.
      const style = className === '' ? 'white-space: normal' : '';
      return html`<td class="${className}" style="${style}" data-label="${section.columns[index + 1]?.name}">
        ${cell}
      </td>`;
    })}
  </tr>`;
}

function cellClass(section: Section, column: number): string {
  return isNumeric(section, column) ? 'number' : '';
}

/** Bars from zero, each under its own words: a drawing that holds text would shrink it on a phone. */
function chartHtml({ chart, columns, rows }: Section) {
  const column = chart && columns[chart.column];
  if (!column) return '';
  const bars = rows.map((row) => ({ label: String(row[0]), value: row[chart.column] ?? null }));
  const longest = Math.max(...bars.map(({ value }) => (typeof value === 'number' ? value : 0)));
  return html`<div class="after" style="margin-bottom: 1rem">
    ${bars.map(({ label, value }) => {
      const share = typeof value === 'number' && longest > 0 ? (value / longest) * 100 : 0;
      const text = `${shown(value, column)} ${column.name}`;
      return html`<p>
        <small style="display: flex; justify-content: space-between; gap: 1rem"
          ><span>${label}</span><span>${text}</span></small
        >
        <svg
          class="up"
          role="img"
          aria-label="${label}: ${text}"
          viewBox="0 0 100 1"
          preserveAspectRatio="none"
          width="100%"
          height="10"
        >
          <rect width="${share.toFixed(2)}" height="1" fill="currentColor" />
        </svg>
      </p>`;
    })}
  </div>`;
}
