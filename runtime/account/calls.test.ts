import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { AuditTrail } from './audit.ts';
import { segmentName } from './audit-chain.ts';
import { verifyAudit } from './audit-proof.ts';
import { record, type Account, type Exchange } from './calls.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { continueTrace } from './trace.ts';

test('a name that is longer than any in the fleet is cut, in the figures, the log and the records', async () => {
  using folder = temporaryFolder();
  const logged: string[] = [];
  const metrics = createMetrics('test', '1');
  const trail = join(folder.path, 'audit');
  {
    await using audit = await AuditTrail.open(trail, (error) => {
      throw error;
    });
    const log = createLog('test', 'info', (line) => void logged.push(line));
    const account = { audit, metrics, log, now: Date.now } as Pick<
      Account,
      'audit' | 'metrics' | 'log' | 'now'
    > as Account;
    const exchange = {
      caller: { name: 'first', hash: '', scope: ['*'] },
      requestBytes: 1,
      trace: continueTrace(undefined),
    } as unknown as Exchange;
    const ended = { outcome: 'ok', durationMs: 1, responseBytes: 1, protocolVersion: 'other' } as const;
    const long = (letter: string) => letter.repeat(100_000);
    for (const method of ['tools/call', 'prompts/get', `tasks/${long('m')}`])
      record(account, exchange, { method, target: long('t'), effect: 'read' }, ended);
  }

  const written = readFileSync(join(trail, segmentName(1)), 'utf8');
  for (const text of [written, logged.join(''), await metrics.text()]) {
    expect(text).toMatch(/[^t]t{256}[^t]/);
    expect(text).toMatch(/"tasks\/m{250}"/);
    expect(text.length).toBeLessThan(90_000);
  }
  expect(await verifyAudit(trail)).toMatchObject({ records: 3, faults: [] });
});
