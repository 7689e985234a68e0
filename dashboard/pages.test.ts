import { expect, test } from 'vitest';

import { fleetOf, type Fleet } from './fleet.ts';
import { fleetPage, refusalPage } from './pages.ts';

const noon = Date.parse('2026-11-20T12:00:00Z');
const silent = fleetOf({ answer: undefined, failure: 'connection refused' }, 0, noon);

function down(reason: string): Fleet {
  const [first, ...rest] = silent.processes;
  if (!first) throw new TypeError('the catalogue is empty');
  return {
    status: 'down',
    up: 0,
    total: 3,
    health: { answers: true, failure: null, uptimeMs: 61_000, ageMs: 400, stale: false },
    backup: null,
    processes: [{ ...first, status: 'down', reason, since: '2026-11-20T11:55:00.000Z' }, ...rest],
  };
}

const render = async (fleet: Fleet) => String(await fleetPage(fleet, '1.2.3', noon));

test('a row says by word and shape what is wrong, why and since when', async () => {
  const text = await render(down('connection refused'));

  expect(text).toContain('<span class="down"><span class="shape" aria-hidden="true">✕</span>down</span>');
  expect(text).toContain('<small>connection refused</small>');
  expect(text).toContain('<time datetime="2026-11-20T11:55:00.000Z">5 min</time>');
  expect(text).toContain('0 of 3 are up');
});

test('what comes from outside is escaped', async () => {
  const hostile = `"><script>alert('x')</script>`;

  const texts = [await render(down(hostile)), String(await refusalPage(hostile))];

  for (const text of texts) {
    expect(text).not.toContain('<script');
    expect(text).toContain('&lt;script&gt;');
  }
});

test('a row says what is kept, and whose quota is fullest', async () => {
  const kept = { bytes: 3 * 1024 ** 2, fullest: { owner: 'lap<top', share: 0.5 } };

  const text = await render({ ...silent, processes: silent.processes.map((row) => ({ ...row, kept })) });

  expect(text).toContain('3.0 MiB<small>lap&lt;top: 50.00 % of its quota</small>');
});

test('the page needs no script and renews itself', async () => {
  const text = await render(silent);

  expect(text).toContain('<meta http-equiv="refresh" content="5" />');
  expect(text).not.toContain('<script');
});

test('old figures are called old', async () => {
  const fleet = down('x');

  const text = await render({ ...fleet, health: { ...fleet.health, ageMs: 90_000, stale: true } });

  expect(text).toContain('What is shown is 1 min old');
});

test('backups are told in one line, and as an alarm when they need a look', async () => {
  const backup = { lastVerifiedAt: '2026-11-20T08:40:00.000Z', troubles: [] };

  const well = await render({ ...silent, backup });
  const ill = await render({ ...silent, backup: { ...backup, troubles: ['the <disk> is full'] } });

  expect(well).toContain('The newest proven backup was made 3 h 20 min ago.');
  const timed = await render({ ...silent, backup: { ...backup, restoreMs: 1_240 } });
  expect(timed).toContain('The newest proven backup was made 3 h 20 min ago; to restore it took 1.2 s.');
  expect(ill).toMatch(/role="alert">\s+<strong>Backups need a look:<\/strong> the &lt;disk&gt; is full/);
  expect(await render(silent)).not.toContain('ackup');
});
