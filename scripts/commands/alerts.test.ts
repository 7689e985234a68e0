/** The commands that ask health, against a real one whose webhook takes nothing. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';

import { entryOf } from '#config/catalogue.ts';
import { createToken } from '#runtime/access/tokens.ts';
import { ConfigError, UnavailableError, UsageError } from '#runtime/errors.ts';
import type { Environment } from '#runtime/process/settings.ts';

import health from '../../health/service.ts';
import { serve, type Served } from '../../tests/support/serve.ts';
import { freePortOffset } from '../ports.ts';
import { listAlerts, testAlerts } from './alerts.ts';
import { endMaintenance, listMaintenance, startMaintenance } from './maintenance.ts';
import { slo } from './slo.ts';

let served: Served;
let environment: Environment;
let reading: Environment;
const hook = createServer((_request, response) => void response.writeHead(403).end('invalid_token'));

beforeAll(async () => {
  await new Promise<void>((done) => hook.listen(0, '127.0.0.1', done));
  const { port } = hook.address() as AddressInfo;
  const offset = await freePortOffset();
  served = await serve(
    health,
    {
      FLOTILLA_PORT_OFFSET: String(offset),
      FLOTILLA_HEALTH_EXPECT: 'health',
      FLOTILLA_HEALTH_SLACK_URL: `http://127.0.0.1:${port}/secret-path`,
    },
    (entryOf('health')?.port ?? 0) + offset,
  );
  environment = { FLOTILLA_DATA: served.dataRoot, FLOTILLA_PORT_OFFSET: String(offset) };
  const secret = await createToken(served.dataRoot, {
    name: 'reader',
    scope: ['health:read'],
    expiresAt: null,
  });
  reading = { ...environment, FLOTILLA_TOKEN: secret };
});

afterAll(async () => {
  await served[Symbol.asyncDispose]();
  hook.close();
});

afterEach(() => {
  process.exitCode = undefined;
});

/** What a command prints. */
async function printed(command: Promise<void>): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    await command;
    return write.mock.calls.map(([text]) => String(text)).join('');
  } finally {
    write.mockRestore();
  }
}

test('alerts: what is open, and how the webhooks get on', async () => {
  const text = await printed(listAlerts({ days: 7 }, reading));

  expect(text).toMatch(/No alert is open\./);
  expect(text).toMatch(
    /webhook +host +delivered +waiting +dropped +last failure\nslack 1 +127\.0\.0\.1:\d+ +0 +0 +0\n$/,
  );
  expect(JSON.parse(await printed(listAlerts({ days: 7, json: true }, reading)))).toMatchObject({
    open: [],
    resolved: [],
  });
});

test('alerts test: how each webhook answered; one that does not take it fails the command', async () => {
  const text = await printed(testAlerts(environment));

  expect(text).toMatch(/✗ slack 1 \(127\.0\.0\.1:\d+\) answers 403: invalid_token, after \d+ ms/);
  expect(text).not.toContain('secret-path');
  expect(process.exitCode).toBe(1);
});

test('slo: what is left of each budget, and what is not known', async () => {
  expect(await printed(slo({}, reading))).toMatch(
    /^objective +target +is +budget left .*\nhealth +99\.99 % polls that found it up +/,
  );
});

test('maintenance: begun, shown, ended', async () => {
  expect(await printed(startMaintenance(['health'], { for: '30m', reason: 'disk' }, environment))).toMatch(
    /^✓ Maintenance 1 of health until 20\S+: nobody is told, and no budget is spent\./,
  );
  expect(await printed(listMaintenance({ days: 7 }, reading))).toMatch(
    /\n1 +open +health +\S+ +\S+ +first +disk\n$/,
  );
  expect(await printed(endMaintenance(undefined, environment))).toBe('✓ Maintenance 1 of health is over.\n');
  expect(await printed(endMaintenance(undefined, environment))).toBe('No window is open.\n');
  expect(
    await printed(
      startMaintenance(['all'], { until: '2999-01-01', reason: 'x' }, environment).catch(
        (error: Error) => void process.stdout.write(error.message),
      ),
    ),
  ).toMatch(/14 days at most/);
});

test.each<[string, readonly string[], { for?: string; until?: string; reason: string }, RegExp]>([
  ['no end', ['memory'], { reason: 'x' }, /either --for 30m or --until TIME/],
  [
    'two ends',
    ['memory'],
    { for: '1h', until: '2027-01-01', reason: 'x' },
    /either --for 30m or --until TIME/,
  ],
  ['no such process', ['memroy'], { for: '1h', reason: 'x' }, /There is no "memroy"\. Did you mean memory\?/],
  ['all and some', ['all', 'memory'], { for: '1h', reason: 'x' }, /not both/],
  ['no time', ['memory'], { for: 'a while', reason: 'x' }, /"a while" is no time/],
  ['the past', ['memory'], { until: '2020-01-01', reason: 'x' }, /has passed already/],
  ['no reason', ['memory'], { for: '1h', reason: ' ' }, /reason: must say why/],
])('maintenance with %s is refused', async (_, names, options, words) => {
  const start = startMaintenance(names, options, environment);

  await expect(start).rejects.toThrow(UsageError);
  await expect(start).rejects.toThrow(words);
});

test('a token that may only read, no health, and another window: each with what to do', async () => {
  await expect(testAlerts(reading)).rejects.toThrow(
    /lacks the scope \*\. Make one that may: .*token create NAME --allow '\*'/,
  );
  await expect(testAlerts(reading)).rejects.toThrow(ConfigError);
  await expect(listAlerts({ days: 91 }, reading)).rejects.toThrow(/days: must be at most 90/);
  await expect(endMaintenance(77, environment)).rejects.toThrow('No window 77 is open.');
  const elsewhere = { ...environment, FLOTILLA_PORT_OFFSET: String(await freePortOffset()) };
  await expect(slo({}, elsewhere)).rejects.toThrow(UnavailableError);
  await expect(slo({}, elsewhere)).rejects.toThrow(/Health does not answer at .*flotilla status|status/);
});
