/** The hours that a year has not, or has twice, and clocks that are set. */
import { afterEach, expect, test, vi } from 'vitest';

import { everyDay } from './schedule.ts';

const zone = process.env['TZ'];

afterEach(() => {
  vi.useRealTimers();
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
});

/** When it runs between two instants. `meanwhile` sees every minute, and may set the clock. */
async function runsBetween(
  from: string,
  to: string,
  time: string,
  inZone: string,
  meanwhile: (minute: number) => void = () => {},
): Promise<string[]> {
  process.env['TZ'] = inZone;
  vi.useFakeTimers({ now: new Date(from) });
  const runs: string[] = [];
  using _daily = everyDay(time, () => runs.push(new Date().toISOString().slice(0, 16)));
  const minutes = (Date.parse(to) - Date.parse(from)) / 60_000;
  for (let minute = 0; minute < minutes; minute++) {
    await vi.advanceTimersByTimeAsync(60_000);
    meanwhile(minute);
  }
  return runs;
}

test('on a day without its hour it runs after the gap', async () => {
  expect(await runsBetween('2027-03-26T12:00Z', '2027-03-30T12:00Z', '03:15', 'Europe/Helsinki')).toEqual([
    '2027-03-27T01:15',
    '2027-03-28T01:15',
    '2027-03-29T00:15',
    '2027-03-30T00:15',
  ]);
});

test('on a day that has it twice it runs once', async () => {
  expect(await runsBetween('2027-10-29T12:00Z', '2027-11-02T12:00Z', '03:15', 'Europe/Helsinki')).toEqual([
    '2027-10-30T00:15',
    '2027-10-31T00:15',
    '2027-11-01T01:15',
    '2027-11-02T01:15',
  ]);
});

test.each([
  ['23:30', 'America/New_York'],
  ['02:30', 'America/New_York'],
  ['00:00', 'America/Santiago'],
  ['00:00', 'UTC'],
])('at %s in %s it runs on each day around the changes', async (time, inZone) => {
  for (const [from, to] of [
    ['2027-03-12T18:00Z', '2027-03-16T18:00Z'],
    ['2027-04-01T18:00Z', '2027-04-05T18:00Z'],
    ['2027-09-03T18:00Z', '2027-09-07T18:00Z'],
    ['2027-11-05T18:00Z', '2027-11-09T18:00Z'],
  ] as const)
    expect(await runsBetween(from, to, time, inZone), from).toHaveLength(4);
});

test('after a sleep over its time it runs at once, and a clock that was years fast costs no day', async () => {
  const runs = await runsBetween('2027-01-01T12:00Z', '2027-01-05T12:00Z', '03:15', 'UTC', (minute) => {
    if (minute === 60) vi.setSystemTime(new Date('2027-01-02T08:00Z'));
    if (minute === 120) vi.setSystemTime(new Date('2029-06-01T08:00Z'));
    if (minute === 180) vi.setSystemTime(new Date('2027-01-02T11:00Z'));
  });

  expect(runs).toEqual([
    '2027-01-02T08:00',
    '2029-06-01T08:00',
    '2027-01-03T03:15',
    '2027-01-04T03:15',
    '2027-01-05T03:15',
    '2027-01-06T03:15',
  ]);
});
