import { expect, test } from 'vitest';

import { catalogue, entryOf } from '#config/catalogue.ts';

import { fleetOf } from './fleet.ts';
import type { HealthAnswer, Observed } from './health-client.ts';

const noon = Date.parse('2026-11-20T12:00:00Z');

/** Every process is up, but those that are given. */
function answer(others: Readonly<Record<string, Observed['status']>> = {}): { answer: HealthAnswer } {
  const processes = catalogue.map(({ name }) => ({
    name,
    status: others[name] ?? ('up' as const),
    latencyMs: 1,
    reason: null,
    since: null,
    uptime: { hour: 1, day: 1 },
  }));
  const polledAt = new Date(noon - 400).toISOString();
  return { answer: { name: 'health', version: '1', uptimeMs: 5_000, polledAt, processes } };
}

test('every process of the catalogue has a row, with its port on this host', () => {
  const fleet = fleetOf(answer(), 100, noon);

  expect(fleet.processes.map(({ name }) => name)).toEqual(catalogue.map(({ name }) => name));
  expect(fleet.processes[0]).toMatchObject({ status: 'up', port: (entryOf('memory')?.port ?? 0) + 100 });
  expect(fleet).toMatchObject({ status: 'up', up: catalogue.length, total: catalogue.length });
});

test('the worst process makes the headline', () => {
  expect(fleetOf(answer({ memory: 'degraded' }), 0, noon).status).toBe('degraded');
  expect(fleetOf(answer({ memory: 'degraded', dashboard: 'down' }), 0, noon).status).toBe('down');
});

test('a process that is not meant to run does not count', () => {
  const fleet = fleetOf(answer({ memory: 'absent' }), 0, noon);

  expect(fleet).toMatchObject({ status: 'up', up: catalogue.length - 1, total: catalogue.length - 1 });
});

test('what is old is called so', () => {
  expect(fleetOf(answer(), 0, noon).health).toMatchObject({ ageMs: 400, stale: false });
  expect(fleetOf(answer(), 0, noon + 10_000).health).toMatchObject({ ageMs: 10_400, stale: true });
});

test('without health every process is unknown', () => {
  const fleet = fleetOf({ answer: undefined, failure: 'refused' }, 0, noon);

  expect(fleet).toMatchObject({ status: 'unknown', up: 0, health: { answers: false, failure: 'refused' } });
  expect(fleet.processes.every(({ status }) => status === 'unknown')).toBe(true);
});
