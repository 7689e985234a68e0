/* Draws the charts of a process, with the figures under the pointer, in place of the pictures that are there without it. */

const series = document.getElementById('series');
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const grouped = new Intl.NumberFormat('en');
const texts = {
  count: (value) => grouped.format(value),
  ms: (value) =>
    value >= 999.5
      ? `${(value / 1_000).toFixed(value < 9_950 ? 1 : 0)} s`
      : `${value.toFixed(value < 10 ? 1 : 0)} ms`,
  bytes: (value) =>
    value >= 999.5e6 ? `${(value / 1e9).toFixed(1)} GB` : `${(value / 1e6).toFixed(value < 10e6 ? 1 : 0)} MB`,
  share: (value) => `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`,
};
const lineColours = ['--line-1', '--line-2', '--line-3'];
const drawn = [];

/** What stands alone between gaps would not be seen as a line. */
const alone = (plot, at) => {
  const values = plot.data[at];
  const isGap = (index) => values[index] === null || values[index] === undefined;
  return values.flatMap((_, index) => (!isGap(index) && isGap(index - 1) && isGap(index + 1) ? [index] : []));
};

const read = () => {
  const told = JSON.parse(series.textContent);
  if (!told) return [];
  return told.charts.map(({ title, unit, lines }) => {
    const count = Math.max(0, ...lines.map(({ values }) => values.length));
    const lastSeconds = told.lastMs / 1_000;
    const times = Array.from(
      { length: count },
      (_, index) => lastSeconds - ((count - 1 - index) * told.cellMs) / 1_000,
    );
    return { title, unit, lines, data: [times, ...lines.map(({ values }) => values)] };
  });
};

const options = ({ unit, lines }, width) => ({
  width,
  height: 150,
  tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), 'UTC'),
  legend: { live: true },
  cursor: { y: false, points: { size: 6 }, sync: { key: 'process' }, drag: { x: false, y: false } },
  scales: { y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.08 : 1] } },
  axes: [
    {
      stroke: colour('--dim'),
      grid: { show: false },
      ticks: { show: false },
      size: 24,
      font: '11px system-ui',
      values: (_plot, ticks) => ticks.map((at) => new Date(at * 1_000).toISOString().slice(11, 16)),
    },
    {
      stroke: colour('--dim'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
      size: 56,
      font: '11px system-ui',
      values: (_plot, ticks) => ticks.map(texts[unit]),
    },
  ],
  series: [
    {
      label: 'at',
      value: (_plot, at) => (at === null ? '' : `${new Date(at * 1_000).toISOString().slice(11, 16)} UTC`),
    },
    ...lines.map(({ name }, index) => ({
      label: name,
      stroke: colour(lineColours[index]),
      width: 1.5,
      // Told apart without colour.
      dash: [[], [5, 3], [2, 3]][index],
      points: { show: true, size: 4, filter: alone },
      value: (_plot, value) => (value === null || value === undefined ? '–' : texts[unit](value)),
    })),
  ],
});

const draw = () => {
  for (const { plot } of drawn.splice(0)) plot.destroy();
  for (const [index, chart] of read().entries()) {
    const place = document.querySelector(`[data-piece="chart-${index}"]`);
    // Where there is nothing to draw, the picture says so.
    const isEmpty = chart.lines.every(({ values }) => values.every((value) => value === null));
    if (!place || isEmpty) continue;
    place.dataset.drawn = '';
    place.replaceChildren();
    drawn.push({ index, plot: new uPlot(options(chart, place.clientWidth), chart.data, place), place });
  }
};

series?.addEventListener('series', () => {
  const charts = read();
  const isSame =
    charts.filter(({ lines }) => lines.some(({ values }) => values.some((value) => value !== null)))
      .length === drawn.length;
  if (!isSame) draw();
  else for (const { index, plot } of drawn) plot.setData(charts[index].data);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
let waiting = 0;
addEventListener('resize', () => {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(() => {
    for (const { plot, place } of drawn) plot.setSize({ width: place.clientWidth, height: 150 });
  });
});
// The pictures are there: nobody needs to wait for this.
setTimeout(draw);
