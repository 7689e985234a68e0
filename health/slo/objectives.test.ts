import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { catalogue, offersTools, type CatalogueEntry } from '#config/catalogue.ts';
import { ConfigError } from '#runtime/errors.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { operatorFolder, ownFolder, readObjectives } from './objectives.ts';

const entries: readonly CatalogueEntry[] = catalogue;

interface Parts {
  readonly name?: string;
  readonly metadata?: string;
  readonly good?: string;
  readonly total?: string;
  readonly window?: string;
  readonly objectives?: string;
  readonly head?: string;
}

/** A file that is right, but for what a test says. */
const text = ({
  name = 'mine',
  metadata = '',
  good = '{ count: polls, result: up }',
  total = '{ count: polls, of: [{ tier: [1] }] }',
  window = '[{ duration: 30d, isRolling: true }]',
  objectives = '[{ target: 0.995 }]',
  head = 'apiVersion: openslo/v1\nkind: SLO',
}: Parts = {}) => `${head}
metadata:
  name: ${name}
${metadata}spec:
  service: mine
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: { metricSource: { type: flotilla, spec: ${good} } }
        total: { metricSource: { type: flotilla, spec: ${total} } }
  timeWindow: ${window}
  budgetingMethod: Occurrences
  objectives: ${objectives}
`;

function operatorFiles(files: Readonly<Record<string, string>>) {
  const folder = temporaryFolder();
  mkdirSync(operatorFolder(folder.path));
  for (const [name, contents] of Object.entries(files))
    writeFileSync(join(operatorFolder(folder.path), name), contents);
  return {
    read: () => readObjectives([ownFolder, operatorFolder(folder.path)], entries),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

test('every process has an objective that says how often it is up, and services one each and all together', () => {
  const objectives = readObjectives([ownFolder], entries);
  const target = (id: string) => objectives.find((one) => one.id === id)?.target;

  const polled = objectives.filter(({ measure }) => measure.count === 'polls');
  for (const { name } of entries)
    expect(
      polled.some(({ process }) => process === name),
      name,
    ).toBe(true);
  const core = objectives.find(({ id }) => id === 'core');
  expect(core).toMatchObject({ process: null, target: 0.999, mostSevere: 'page' });
  expect(core?.processes).toEqual(entries.filter(offersTools).map(({ name }) => name));
  for (const name of core?.processes ?? []) expect(target(`core-${name}`)).toBe(0.999);
  expect([target('dashboard'), target('health')]).toEqual([0.99, 0.9999]);
  expect(new Set(objectives.map(({ id }) => id)).size).toBe(objectives.length);
});

test('latency has objectives where an answer takes no longer than we make it take, and they page nobody', () => {
  const objectives = readObjectives([ownFolder], entries).filter(({ measure }) => measure.count === 'calls');

  const core = objectives.filter(({ slo }) => slo === 'core-latency');
  expect(core.flatMap(({ process }) => process ?? [])).toEqual(
    entries.filter(({ tier }) => tier === 1).map(({ name }) => name),
  );
  expect(objectives.every(({ mostSevere }) => mostSevere === 'ticket')).toBe(true);
  const watched = objectives.flatMap(({ processes }) => processes);
  const slow = entries.filter(
    ({ sandboxes, network, signs }) => sandboxes || network === 'egress' || signs?.forTokens,
  );
  expect(slow.length).toBeGreaterThan(0);
  for (const { name } of slow) expect(watched).not.toContain(name);
});

test('files of the operator replace ours, add some and take some away; other files there are none', () => {
  using files = operatorFiles({
    'a.yaml': `${text({ name: 'dashboard', total: '{ count: polls, of: [{ trait: [shows] }] }' })}---\n${text({ total: '{ count: polls, of: [{ tier: [1] }], each: true }' })}`,
    'b.yml': text({ name: 'latency', metadata: '  annotations: { dev.flotilla/off: "true" }\n' }),
    'notes.txt': 'no objectives',
  });

  const objectives = files.read();

  expect(objectives.find(({ id }) => id === 'dashboard')).toMatchObject({
    target: 0.995,
    process: 'dashboard',
  });
  expect(objectives.filter(({ slo }) => slo === 'mine').length).toBe(
    1 + entries.filter(({ tier }) => tier === 1).length,
  );
  expect(objectives.some(({ slo }) => slo === 'latency')).toBe(false);
  expect(objectives.some(({ slo }) => slo === 'core')).toBe(true);
});

test.each<[string, string, RegExp]>([
  ['no YAML', 'a: [', /mine\.yaml, line 1: .+/],
  ['a key that stands there twice', 'kind: SLO\nkind: SLO\n', /line 2: Map keys must be unique/],
  ['another kind', text({ head: 'apiVersion: openslo/v1\nkind: Service' }), /line 2, kind: must be SLO/],
  [
    'another version',
    text({ head: 'apiVersion: openslo/v2\nkind: SLO' }),
    /line 1, apiVersion: must be openslo\/v1/,
  ],
  ['a name that is none', text({ name: 'My SLO' }), /line 4, metadata\.name: must be up to 63/],
  ['no target', text({ objectives: '[{}]' }), /spec\.objectives\.0\.target: must be a number/],
  [
    'a target of all',
    text({ objectives: '[{ target: 1 }]' }),
    /spec\.objectives\.0\.target: must be below 1/,
  ],
  ['a target of nothing', text({ objectives: '[{ target: 0 }]' }), /must be above 0/],
  ['a target as a text', text({ objectives: '[{ target: "0.9" }]' }), /must be a number/],
  ['two objectives', text({ objectives: '[{ target: 0.9 }, { target: 0.99 }]' }), /must have one objective/],
  [
    'another period',
    text({ window: '[{ duration: 7d, isRolling: true }]' }),
    /timeWindow\.0\.duration: must be 30d/,
  ],
  ['a calendar', text({ window: '[{ duration: 30d, isRolling: false }]' }), /isRolling: must be true/],
  [
    'an unknown field',
    text({ metadata: '  owner: me\n' }),
    /line 5, metadata\.owner: there is no such field/,
  ],
  [
    'another measure',
    text({ good: '{ count: bytes }' }),
    /good\.metricSource\.spec\.count: must be polls or calls/,
  ],
  [
    'a bound that no bucket has',
    text({ good: '{ count: calls, withinSeconds: 0.3 }', total: '{ count: calls, of: [{ tier: [1] }] }' }),
    /withinSeconds: must be a bound of the buckets: 0\.001, /,
  ],
  [
    'two measures',
    text({ total: '{ count: calls, of: [{ tier: [1] }] }' }),
    /total\.metricSource\.spec\.count: must count the same/,
  ],
  [
    'a tier that is none',
    text({ total: '{ count: polls, of: [{ tier: [4] }] }' }),
    /of\.0\.tier\.0: must be one of 1, 2, 3, observer, platform/,
  ],
  [
    'a trait that is none',
    text({ total: '{ count: polls, of: [{ trait: [port] }] }' }),
    /of\.0\.trait\.0: must be one of files/,
  ],
  [
    'a name of a service',
    text({ total: '{ count: polls, of: [{ name: memory }] }' }),
    /of\.0\.name: there is no such field/,
  ],
  ['nothing that says whose', text({ total: '{ count: polls, of: [{}] }' }), /of\.0: must say something/],
  ['nobody', text({ total: '{ count: polls, of: [] }' }), /of: must name at least one/],
  [
    'a switch that is none',
    text({ metadata: '  annotations: { dev.flotilla/off: yes }\n' }),
    /must be "true" or "false"/,
  ],
  ['a list', '- 1\n', /the whole file: /],
  [
    'aliases without end',
    `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n`,
    /Write it out instead|no such field/,
  ],
  ['more than anybody writes', `# ${'x'.repeat(300_000)}\n`, /is longer than 262144 bytes/],
])('%s is refused, with file, line and field', (_, contents, complaint) => {
  using files = operatorFiles({ 'mine.yaml': contents });

  expect(() => files.read()).toThrow(ConfigError);
  expect(() => files.read()).toThrow(complaint);
});

test('what is no file is refused, and never read: a pipe or a device might not end', () => {
  using folder = temporaryFolder();
  mkdirSync(operatorFolder(folder.path));
  const file = join(operatorFolder(folder.path), 'mine.yaml');
  const read = () => readObjectives([ownFolder, operatorFolder(folder.path)], entries);
  symlinkSync('/dev/null', file);
  expect(read).toThrow(`${file} is no file. Remove it, or put a file there.`);
  rmSync(file);
  mkdirSync(file);
  expect(read).toThrow(ConfigError);
  expect(read).toThrow(/is no file/);
});

test('names that are the same, or would become so, are refused', () => {
  using twice = operatorFiles({ 'a.yaml': text(), 'b.yaml': text() });
  using same = operatorFiles({ 'a.yaml': text({ name: 'core-memory' }) });

  expect(() => twice.read()).toThrow(/b\.yaml, metadata\.name: mine stands in .*a\.yaml too/);
  expect(() => same.read()).toThrow(/would both be called core-memory/);
});

test('an empty file says nothing, and an objective of nobody is none', () => {
  using files = operatorFiles({
    'a.yaml': '# nothing yet\n',
    'b.yaml': text({ total: '{ count: polls, of: [{ tier: [1], trait: [shows] }] }' }),
  });

  expect(files.read().some(({ slo }) => slo === 'mine')).toBe(false);
});
