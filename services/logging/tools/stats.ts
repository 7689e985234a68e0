import { z } from 'zod';

import { reading } from '#runtime/hints.ts';
import { ToolError } from '#runtime/errors.ts';
import { defineTool } from '#runtime/tool.ts';

import { filterOf, whichFields } from '../fields.ts';
import { maxIntervals } from '../limits.ts';
import type { Logging } from '../logging.ts';
import { levels } from '../store/line.ts';
import { minutesIn } from '../when.ts';

/** In one answer. */
const mostGroups = 50;
const mostSources = 500;

export const listLogSources = defineTool({
  name: 'list_log_sources',
  title: 'List Log Sources',
  description:
    'Where lines come from: services and sources, when each was last heard of; what the store holds and what it refused.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({}),
  output: z.object({
    sources: z
      .array(
        z.object({
          service: z.string().describe('What wrote it.'),
          source: z.string().describe('How it came here.'),
          lines: z.int().describe('Ever stored.'),
          last_time: z.string().describe('Of its newest line.'),
        }),
      )
      .describe('Those heard of last come first.'),
    not_shown: z.int().optional().describe('Sources that were silent longer.'),
    lines: z.int().describe('In the store.'),
    text_bytes: z.int().describe('Of their text.'),
    levels: z
      .record(z.string(), z.enum(levels))
      .describe('From which level on lines are stored, where it is set.'),
    tallies: z.record(z.string(), z.int()).describe('Lines that were refused or have gone, by reason.'),
  }),
  handler(_, { store }: Logging) {
    const sources = store.sources();
    const { lines, bytes, tallies } = store.holdings();
    return {
      sources: sources.slice(0, mostSources).map(({ service, source, lines: many, lastMs }) => ({
        service,
        source,
        lines: many,
        last_time: new Date(lastMs).toISOString(),
      })),
      ...(sources.length > mostSources && { not_shown: sources.length - mostSources }),
      lines,
      text_bytes: bytes,
      levels: Object.fromEntries(store.thresholds().map(({ service, level }) => [service, level])),
      tallies,
    };
  },
});

export const getLogStats = defineTool({
  name: 'get_log_stats',
  title: 'Get Log Stats',
  description:
    'How many lines there are, by level, service or source, and over time. Times count by whole minutes.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    group_by: z
      .enum(['level', 'service', 'source', 'none'])
      .default('level')
      .describe('What to count apart.'),
    interval: z
      .string()
      .max(32)
      .refine(
        (text) => minutesIn(text) !== undefined,
        'must be minutes, hours, days or weeks, such as 5m, 1h or 1d',
      )
      .optional()
      .describe('Counts for each such stretch of time: 5m, 1h, 1d. One sum unless given.'),
    level: whichFields.level,
    service: whichFields.service,
    source: whichFields.source,
    since: whichFields.since,
    until: whichFields.until,
  }),
  output: z.object({
    lines: z.int().describe('All of them.'),
    text_bytes: z.int().describe('Of their text.'),
    groups: z.record(z.string(), z.int()).describe('Lines of each, the most first.'),
    not_shown: z.int().optional().describe(`Groups beyond the first ${mostGroups}; the sums have them.`),
    intervals: z
      .array(
        z.object({
          time: z.string().describe('Its start.'),
          lines: z.int().describe('All in it.'),
          groups: z.record(z.string(), z.int()).describe('Lines of each.'),
        }),
      )
      .optional()
      .describe('Those without lines are left out.'),
  }),
  async handler({ group_by: by, interval, ...which }, { store }: Logging, call) {
    const everyMinutes = interval === undefined ? undefined : minutesIn(interval);
    const counts = await store.counts({ filter: filterOf(which, call.nowMs), by, everyMinutes }, call);
    const sums = new Map<string, number>();
    const times = new Map<number, { lines: number; readonly groups: Map<string, number> }>();
    let lines = 0;
    let bytes = 0;
    for (const count of counts) {
      lines += count.lines;
      bytes += count.bytes;
      sums.set(count.group, (sums.get(count.group) ?? 0) + count.lines);
      const time = times.get(count.atMs) ?? { lines: 0, groups: new Map<string, number>() };
      time.lines += count.lines;
      time.groups.set(count.group, count.lines);
      times.set(count.atMs, time);
    }
    if (everyMinutes !== undefined && times.size > maxIntervals) {
      throw new ToolError(
        'too_large',
        `There are ${times.size} intervals, and an answer has at most ${maxIntervals}.`,
        {
          hint: 'Make interval longer, or the time from since to until shorter.',
        },
      );
    }
    const groups = [...sums].toSorted(([, one], [, other]) => other - one);
    const isShown = new Set(groups.slice(0, mostGroups).map(([group]) => group));
    const only = (all: Iterable<readonly [string, number]>) =>
      by === 'none' ? {} : Object.fromEntries([...all].filter(([group]) => isShown.has(group)));
    return {
      lines,
      text_bytes: bytes,
      groups: only(groups),
      ...(groups.length > mostGroups && { not_shown: groups.length - mostGroups }),
      ...(everyMinutes !== undefined && {
        intervals: [...times]
          .toSorted(([one], [other]) => one - other)
          .map(([atMs, time]) => ({
            time: new Date(atMs).toISOString(),
            lines: time.lines,
            groups: only(time.groups),
          })),
      }),
    };
  },
});
