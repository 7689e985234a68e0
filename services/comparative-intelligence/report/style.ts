/** The clothes of a report: readable on a phone, on paper, by day and by night. */
export const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #57606a; --page: #ffffff; --line: #d8dee4; --bar: #0b62c4; --up: #1a7f37; --down: #c4320a; --even: #6e5494; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9da7b1; --page: #0d1117; --line: #30363d; --bar: #6cb0ff; --up: #56d364; --down: #ff9a6c; --even: #c6a8f5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.25rem; } h3 { margin: 1.5rem 0 .25rem; font-size: 1rem; }
h1, th, td, li { overflow-wrap: anywhere; }
p { margin: .25rem 0 .75rem; } .dim, small { color: var(--dim); }  small { white-space: nowrap; } .dim { font-size: .875rem; }
.summary { padding-left: 1.2rem; font-size: 1.05rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: middle; font-weight: normal; }
thead th { color: var(--dim); font-size: .875rem; } tbody th { font-weight: 600; }
.number { text-align: right; white-space: nowrap; } .wide { width: 38%; } .figure { display: block; font-size: .875rem; white-space: nowrap; }
.bar { display: block; width: 100%; height: .9rem; color: var(--bar); }
.bar .range { fill: currentColor; opacity: .35; } .bar .point { fill: currentColor; }
.bar .middle { stroke: var(--dim); stroke-width: 1px; vector-effect: non-scaling-stroke; stroke-dasharray: 2 2; }
.up { color: var(--up); } .down { color: var(--down); } .even { color: var(--even); } .verdict { white-space: nowrap; font-weight: 600; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .5rem; }
@media (max-width: 40rem) {
  body { padding: 1rem; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, th, td { display: block; width: 100%; }
  tr { padding: .6rem 0; border-bottom: 1px solid var(--line); }
  th, td, .number { border: 0; padding: .1rem 0; text-align: left; } .wide { width: 100%; }
  td[data-label]::before { content: attr(data-label) ": "; color: var(--dim); font-size: .875rem; }
  td.wide::before { content: none; }
}
@media print { body { max-width: none; } tr { break-inside: avoid; } }
`;
