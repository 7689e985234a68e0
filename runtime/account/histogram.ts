/**
 * A Prometheus histogram that costs a few nanoseconds to observe. prom-client looks its labels up at every observation,
 * which takes longer than many a tool; here a caller keeps the series that it observes.
 */
export interface Series {
  observe(value: number): void;
}

export interface Histogram {
  /** The series of these label values, in the order of the names; always the same one. */
  series(values: readonly string[]): Series;
  /** The Prometheus text format. */
  text(): string;
}

export function createHistogram(options: {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[];
  /** On every series. */
  readonly constant: Readonly<Record<string, string>>;
}): Histogram {
  const { name, help, labelNames, bounds, constant } = options;
  const all = new Map<string, { readonly labels: string; readonly counts: Float64Array; sum: number }>();
  const always = Object.entries(constant).map(([label, value]) => pair(label, value));

  return {
    series(values) {
      const labels = [...always, ...labelNames.map((label, index) => pair(label, values[index] ?? ''))].join(
        ',',
      );
      let series = all.get(labels);
      if (!series) {
        // One count per bucket, the last for what is above all bounds.
        series = { labels, counts: new Float64Array(bounds.length + 1), sum: 0 };
        all.set(labels, series);
      }
      const { counts } = series;
      const found = series;
      return {
        observe(value) {
          let bucket = 0;
          while (bucket < bounds.length && value > (bounds[bucket] ?? 0)) bucket += 1;
          counts[bucket] = (counts[bucket] ?? 0) + 1;
          found.sum += value;
        },
      };
    },

    text() {
      const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
      for (const { labels, counts, sum } of all.values()) {
        let total = 0;
        for (const [bucket, count] of counts.entries()) {
          total += count;
          const bound = bounds[bucket] ?? '+Inf';
          lines.push(`${name}_bucket{${labels},le="${bound}"} ${total}`);
        }
        lines.push(`${name}_sum{${labels}} ${sum}`, `${name}_count{${labels}} ${total}`);
      }
      return `${lines.join('\n')}\n`;
    },
  };
}

/** Escaped as the text format asks. */
function pair(label: string, value: string): string {
  return `${label}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}
