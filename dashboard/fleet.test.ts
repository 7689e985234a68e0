import { expect, test } from 'vitest';

import { catalogue, entryOf } from '#config/catalogue.ts';
import type { Observed } from '#runtime/process/overview.ts';

import { byTier, fleetOf, troubled } from './fleet.ts';
import { noon, overviewOf } from './overview.fixture.ts';

function fleet(statuses: Readonly<Record<string, Observed['status']>> = {}, portOffset = 0, nowMs = noon) {
  const changes = Object.fromEntries(Object.entries(statuses).map(([name, status]) => [name, { status }]));
  return fleetOf({ overview: overviewOf(changes), failure: null, failingSince: null }, portOffset, nowMs);
}

test('every process of the catalogue has a row, with its port on this host', () => {
  const { processes, ...found } = fleet({}, 100);

  expect(processes.map(({ name }) => name)).toEqual(catalogue.map(({ name }) => name));
  expect(processes[0]).toMatchObject({ status: 'up', port: (entryOf('memory')?.port ?? 0) + 100 });
  expect(found).toMatchObject({ status: 'up', up: catalogue.length, total: catalogue.length });
});

test('the worst process makes the headline, and comes first', () => {
  expect(fleet({ memory: 'degraded' }).status).toBe('degraded');
  const both = fleet({ memory: 'degraded', dashboard: 'down' });

  expect(both.status).toBe('down');
  expect(troubled(both).map(({ name }) => name)).toEqual(['dashboard', 'memory']);
});

test('a process that is not meant to run does not count', () => {
  expect(fleet({ memory: 'absent' })).toMatchObject({
    status: 'up',
    up: catalogue.length - 1,
    total: catalogue.length - 1,
  });
});

test('agents are shown where they run or are meant to, and are missed nowhere else', () => {
  const known = (status: Observed['status']) => {
    const overview = overviewOf();
    const [first] = overview.processes;
    if (!first) throw new Error('There is no process.');
    const processes = [...overview.processes, { ...first, name: 'agent-qa', status }];
    return fleetOf({ overview: { ...overview, processes }, failure: null, failingSince: null }, 0, noon);
  };

  expect(known('absent').total).toBe(catalogue.length);
  expect(known('absent').processes).toHaveLength(catalogue.length);
  expect(byTier(known('down').processes).at(-1)).toMatchObject({
    title: 'Agents',
    rows: [{ name: 'agent-qa', status: 'down', port: 50_106 }],
  });
});

test('what is old is called so', () => {
  expect(fleet().health).toMatchObject({ ageMs: 400, stale: false });
  expect(fleet({}, 0, noon + 10_000).health).toMatchObject({ ageMs: 10_400, stale: true });
});

test('while health is silent it is down, what was known last stays, and nothing is said of now', () => {
  const failingSince = '2026-11-20T11:59:00.000Z';
  const silent = fleetOf({ overview: overviewOf(), failure: 'refused', failingSince }, 0, noon);
  const never = fleetOf({ overview: undefined, failure: 'refused', failingSince }, 0, noon);

  expect(silent).toMatchObject({
    status: 'unknown',
    health: { answers: false, failure: 'refused', failingSince },
  });
  expect(troubled(silent)).toMatchObject([{ name: 'health', reason: 'refused', since: failingSince }]);
  expect(silent.processes[0]).toMatchObject({ name: 'memory', status: 'up' });
  expect(never.processes.filter(({ status }) => status === 'unknown')).toHaveLength(catalogue.length - 1);
});

test('every process stands in the group of its tier', () => {
  const groups = byTier(fleet().processes);

  expect(groups.map(({ title }) => title)).toEqual([
    'Core',
    'Tools',
    'System and external',
    'Observers',
    'Platform',
  ]);
  expect(groups.flatMap(({ rows }) => rows)).toHaveLength(catalogue.length);
});
