import { expect, test } from 'vitest';

import { catalogue } from '#config/catalogue.ts';
import type { Observed, Overview } from '#runtime/process/overview.ts';

import type { Assets } from '../assets.ts';
import { fleetOf, type Fleet } from '../fleet.ts';
import { noon, overviewOf, standingsOf } from '../overview.fixture.ts';
import { fleetPage, summaryOf } from './fleet-page.ts';
import { refusalPage } from './layout.ts';
import { processPage } from './process-page.ts';

const assets = { css: '', live: '/a', charts: '/b', uplot: '/c' } as Assets;

const silent = fleetOf(
  { overview: undefined, failure: 'connection refused', failingSince: '2026-11-20T11:58:00.000Z' },
  0,
  noon,
);

const known = (overview: Overview) => fleetOf({ overview, failure: null, failingSince: null }, 0, noon);

function fleet(
  changes: Readonly<Record<string, Partial<Observed>>> = {},
  more: Partial<Overview> = {},
): Fleet {
  return known(overviewOf(changes, more));
}

const shown = (of: Fleet) => ({ fleet: of, version: '1.2.3', nowMs: noon, assets, nonce: 'n' });
/** Spaces that no reader sees depend on how the templates are written. */
const flat = (html: string) => html.replaceAll(/\s+/g, ' ').replaceAll(' >', '>');
const render = (of: Fleet) => flat(fleetPage(shown(of)).page.toString());
const words = (html: string) =>
  html
    .replaceAll('<bdi class="reason">', ' ')
    .replaceAll(/<[^>]*>/g, '')
    .replaceAll(/\s+/g, ' ');

function renderProcess(of: Fleet, name: string): string {
  const row = of.processes.find((each) => each.name === name);
  if (!row) throw new TypeError(name);
  return flat(processPage(row, shown(of)).page.toString());
}

const down = (reason = 'connection refused'): Partial<Observed> => ({
  status: 'down',
  reason,
  since: '2026-11-20T11:55:00.000Z',
});

test.each([
  ['all well', {}, `All ${catalogue.length} are up`],
  ['one down', { memory: down() }, 'memory is down'],
  [
    'two down, one degraded',
    { memory: down(), git: down(), python: { status: 'degraded' } },
    'memory and git are down',
  ],
  ['three down', { memory: down(), git: down(), python: down() }, `3 of ${catalogue.length} are down`],
  [
    'one degraded, one absent',
    { python: { status: 'degraded' }, git: { status: 'absent' } },
    'python is degraded',
  ],
  ['one flapping', { python: { flapping: true } }, 'python comes and goes'],
  ['not polled yet', { python: { status: 'unknown' } }, 'The fleet is coming up'],
] as const)('one sentence tells how the fleet is: %s', (_case, changes, sentence) => {
  expect(summaryOf(fleet(changes))).toBe(sentence);
});

test('what is wrong is told at the top: since when, why, and its last log lines', () => {
  const lines = [{ time: '2026-11-20T11:54:59.000Z', level: 'error' as const, text: 'disk_full free=0' }];

  const text = words(render(fleet({ memory: { ...down('the disk is full'), lines } })));

  expect(text).toContain('memory down for 5 min');
  expect(text).toContain('the disk is full');
  expect(text).toContain('11:54:59 error disk_full free=0');
});

test('a state is told by word and shape, never by colour alone', () => {
  const text = render(fleet({ memory: down(), git: { status: 'degraded', flapping: true } }));

  expect(text).toContain('<span class="down"><span class="shape" aria-hidden="true">✕</span>down</span>');
  expect(text).toContain(
    '<span class="degraded"><span class="shape" aria-hidden="true">▲</span>degraded</span>',
  );
  expect(text).toContain('<span class="flapping">flapping</span>');
});

const hostile = `"><script>alert('x')</script>`;

test('what comes from outside is escaped, on every page', () => {
  const ill = fleet(
    { memory: { ...down(hostile), lines: [{ time: null, level: null, text: hostile }], version: hostile } },
    {
      tools: [
        {
          name: hostile,
          tool: hostile,
          calls: 1,
          answerBytes: 8,
          errors: 1,
          errorsByKind: { [hostile]: 1 },
          p50Ms: 1,
          p95Ms: 1,
          p99Ms: 1,
        },
      ],
      incidents: [
        { name: hostile, at: '2026-11-20T11:55:00.000Z', endedAt: null, to: hostile, reason: hostile },
      ],
      warnings: [hostile],
      backup: { lastVerifiedAt: null, troubles: [hostile] },
      alerts: [
        {
          kind: hostile,
          severity: 'page',
          subject: hostile,
          since: '2026-11-20T11:55:00.000Z',
          what: hostile,
          why: [hostile],
          isQuiet: true,
        },
      ],
      budgets: [
        {
          title: hostile,
          process: hostile,
          events: hostile,
          target: 0.99,
          windowDays: 30,
          known: 0.5,
          good: 0.9,
          remaining: -1,
          burnRate: 2,
        },
      ],
    },
  );

  const [standing] = standingsOf().models;
  const named = standing && { ...standing, name: hostile, judgedBy: hostile, warnings: [hostile] };
  const models = named && [{ ...named, tasks: [named] }];
  const observing = {
    ...ill,
    observers: [{ name: hostile, ...standingsOf(), ...(models && { models, clients: models }) }],
  };
  const texts = [
    render(observing),
    render(ill),
    renderProcess(ill, 'memory'),
    refusalPage(hostile, assets).toString(),
  ];

  for (const text of texts) {
    expect(text).not.toContain(hostile);
    expect(text).not.toMatch(/<script>|onerror=|alert\('x'\)/);
    expect(text).toContain('&lt;script&gt;');
  }
});

test('figures that a program reads cannot end their element', () => {
  const detail = {
    name: 'memory',
    cellMs: 300_000,
    lastCellAt: '2026-11-20T11:55:00.000Z',
    calls: [1, null],
    errors: [0, null],
    p50Ms: [1, null],
    p95Ms: [2, null],
    p99Ms: [3, null],
    memoryBytes: [5, null],
    cpuShare: [0.1, null],
    lines: [{ time: null, level: null, text: '</script><script>' }],
    incidents: [],
  };

  const text = renderProcess(fleet({}, { detail }), 'memory');

  const series = /<script type="application\/json"[^>]*>([^]*?)<\/script>/.exec(text)?.[1] ?? '';
  expect(JSON.parse(series)).toMatchObject({ cellMs: 300_000, charts: [{ title: 'Calls' }, {}, {}, {}] });
  expect(series).not.toContain('<');
});

test('a strip tells each stretch by its form, and in words', () => {
  const dayStrip = [null, 1, 1, 0.97, 0.1];

  const text = render(fleet({ memory: { dayStrip } }));

  expect(text).toContain(
    'aria-label="memory, last 24 hours: 4 of 5 half hours polled, 2 of them with trouble"',
  );
  expect(text).toContain('<path class="full" d="M4 0h3v20h-3zM8 0h3v20h-3z">');
  expect(text).toContain('<title>11-19 13:30: up 97.00 %</title>');
  expect(text).toContain(
    '<path class="most" d="M16 0h3v12h-3zM16 16h3v4h-3z"><title>11-19 14:00: up 10.00 %</title>',
  );
});

test('the page is whole without scripts, and renews itself where there are none', () => {
  for (const text of [render(fleet()), renderProcess(fleet(), 'memory')]) {
    expect(text).toContain('<noscript><meta http-equiv="refresh" content="30" /></noscript>');
    expect(text.match(/<script nonce="n" (?:defer|type="module") src="\/[abc]">/g)?.length).toBe(
      text.match(/<script(?! type="application\/json")/g)?.length,
    );
    expect(text.match(/role="status"/g)).toHaveLength(1);
  }
});

test('old figures are called old, and what was known last is shown while health is silent', () => {
  const overview = overviewOf({ memory: down() });
  const old = known({ ...overview, polledAt: '2026-11-20T11:58:30.000Z' });
  const since = '2026-11-20T11:58:00.000Z';
  const gone = fleetOf(
    { overview, failure: 'no answer within 1000 ms on port 4360', failingSince: since },
    0,
    noon,
  );

  expect(words(render(old))).toContain(
    'What is shown is 1 min old: health answers, but has stopped polling.',
  );
  const text = words(render(gone));
  expect(text).toContain('Health does not answer, for 2 min: no answer within 1000 ms on port 4360.');
  expect(text).toContain('What is shown is 0 s old.');
  expect(text).toContain('✕down 5 min');
  expect(words(render(silent))).toContain('Nothing is known about the fleet.');
});

test('backups are told with what a loss would take and how long the last proof took; what is wrong with them is at the top', () => {
  const backup = {
    lastSuccessAt: '2026-11-20T08:40:00.000Z',
    lastVerifiedAt: '2026-11-20T08:40:00.000Z',
    recoveryPointAgeMs: 12_000_000,
    restoreMs: 1_240,
    sizeBytes: 12_300_000,
    failures: 0,
    troubles: [],
  };

  const text = words(render(fleet({}, { backup })));

  expect(text).toContain('Last proven 3 h 20 min ago');
  expect(text).toContain('A loss now would take 3 h 20 min');
  expect(text).toContain('The last proof restored all in 1.2 s');
  const ill = words(render(fleet({}, { backup: { ...backup, troubles: ['the disk is full'] } })));
  expect(ill).toContain('Backups: the disk is full');
  expect(words(render(fleet()))).toContain('None are made here.');
});

test('an alert is told once: with the process that it is about, or by itself', () => {
  const alert = { severity: 'page' as const, since: '2026-11-20T11:55:00.000Z', isQuiet: false };
  const why = ['memory: 3 restarts, exit status 1'];
  const alerts = [
    { ...alert, kind: 'down', subject: 'memory', what: 'memory is down: refused', why },
    { ...alert, kind: 'burn', subject: 'core', what: 'the budget burns', why: [], isQuiet: true },
  ];

  const text = words(render(fleet({ memory: down('refused') }, { alerts })));

  expect(text).toContain('memory down for 5 min refused memory: 3 restarts, exit status 1');
  expect(text).not.toContain('memory is down: refused');
  expect(text).toContain('Alert: the budget burns, for 5 min, kept quiet by a maintenance window');
});

test('budgets are told with the least first, in words, a bar and the burn rate', () => {
  const budget = { process: null, events: 'polls', target: 0.999, windowDays: 30, known: 1 };
  const budgets = [
    { ...budget, title: 'core', known: 0.1, good: 0.99995, remaining: 0.95, burnRate: 0.2 },
    { ...budget, title: 'git', good: 0.998, remaining: -1, burnRate: 12.4 },
  ];

  const text = words(render(fleet({}, { budgets })));

  expect(text).toContain('Least error budget left spent 2.0× git');
  expect(text).toMatch(/git polls 99\.9 % 99\.800 % spent 2\.0× 12 30 d core polls .* 3 d 0 h of 30 d/);
});

test('observers are told with the share, its interval as a bar and in words, and where there is too little to tell', () => {
  const observed = (...observers: Fleet['observers']) => render({ ...fleet(), observers });
  const text = observed({ name: 'model-profile', ...standingsOf() });

  expect(text).toContain('href="#observers"');
  expect(text).toContain('aria-label="acme/small@2026-08: 82.3 % succeeded, between 77.6 % and 86.1 %"');
  expect(text).toContain('d="M124 6H137M124 1v10M137 1v10"');
  const said = words(text);
  expect(said).toContain('acme/small@2026-08 82.3 % 77.6 % to 86.1 % code check 310 322 2026-10-24');
  expect(said).toContain('fresh too few decisions to tell: needs 20, has 7 code check 7 19 2026-10-24');
  expect(text).not.toContain('aria-label="fresh');
  expect(said).toContain('Those that decided most in the last 30 days, as model-profile knows them');
  expect(said).not.toContain('Clients');

  expect(words(observed({ name: 'model-profile', ...standingsOf({ models: [] }) }))).toContain(
    'model-profile knows of no decision of the last 30 days.',
  );
  expect(observed()).not.toContain('id="observers"');
  expect(observed()).not.toContain('href="#observers"');
});
