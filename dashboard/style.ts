/** The pages' only style sheet, inline: one request shows everything, and its hash is all that the policy allows. */
import { createHash } from 'node:crypto';

import { raw } from 'hono/html';

const css = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --line: #e2e5ea; --text: #1b2129; --dim: #5b6673;
  --up: #1a7431; --degraded: #8a5a00; --down: #b3261e; --none: #5b6673;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181d; --card: #1b2027; --line: #2d343d; --text: #e6eaef; --dim: #98a3b0;
    --up: #5ccb7f; --degraded: #e3b341; --down: #ff8a80; --none: #98a3b0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem; max-width: 66rem;
  background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif;
}
header { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 0 1rem; }
h1 { margin: 0; font-size: 1rem; font-weight: 600; color: var(--dim); }
h2 { margin: 2rem 0 .25rem; font-size: 1rem; }
p { margin: .25rem 0; }
.summary { margin: .25rem 0 1.25rem; width: 100%; font-size: 1.75rem; font-weight: 600; line-height: 1.25; }
.dim, caption, small, th { color: var(--dim); font-weight: 400; }
.dim, caption, small, thead th { font-size: .875rem; }
.after { margin: .75rem 0 0; }
.up { color: var(--up); } .degraded { color: var(--degraded); } .down { color: var(--down); }
.absent, .unknown { color: var(--none); }
.banner {
  margin: 0 0 1.25rem; padding: .75rem 1rem; border: 1px solid var(--line); border-left: 4px solid var(--degraded);
  border-radius: 6px; background: var(--card);
}
.card { border: 1px solid var(--line); border-radius: 8px; background: var(--card); overflow: hidden; }
table { width: 100%; border-collapse: collapse; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: .65rem 1rem; text-align: left; vertical-align: top; }
thead th { white-space: nowrap; }
tbody tr { border-top: 1px solid var(--line); }
tbody th strong { color: var(--text); font-weight: 600; }
th small, td small { display: block; }
td { white-space: nowrap; font-variant-numeric: tabular-nums; }
td small { max-width: 18rem; white-space: normal; overflow-wrap: anywhere; }
.number { text-align: right; }
.shape { display: inline-block; width: 1.25em; }
code { font: .875em/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
@media (max-width: 46rem) {
  body { padding: 1.25rem 1rem; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: grid; grid-template-columns: 4fr 3fr 3fr; gap: .5rem 1rem; padding: .9rem 1rem; }
  tbody tr:first-child { border-top: 0; }
  tbody th, tbody td { padding: 0; }
  .number { text-align: left; }
  tbody th, tbody td.status { grid-column: 1 / -1; }
  td[data-label]::before { content: attr(data-label); display: block; color: var(--dim); font-size: .75rem; }
}
`;

/** Nothing may come between the tags and the text that was hashed. */
export const styleElement = raw(`<style>${css}</style>`);

export const cssHash = `sha256-${createHash('sha256').update(css).digest('base64')}`;
