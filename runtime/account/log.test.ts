import { expect, test } from 'vitest';

import { createLog, type LogLevel } from './log.ts';

function linesOf(
  level: LogLevel,
  write: (log: ReturnType<typeof createLog>) => void,
): Record<string, unknown>[] {
  const lines: string[] = [];
  write(createLog('memory', level, (line) => lines.push(line)));
  expect(lines.every((line) => !line.includes('\n'))).toBe(true);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('An event is one line of JSON, whatever its fields hold', () => {
  const [line] = linesOf('info', (log) => log.info('call', { text: 'two\nlines\u2028', size: 7n }));

  expect(line).toMatchObject({
    level: 'info',
    service: 'memory',
    event: 'call',
    text: 'two\nlines\u2028',
    size: '7',
  });
  expect(line?.['time']).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
});

test('An error shows its message, its stack and its cause', () => {
  const error = new TypeError('outer', { cause: new RangeError('inner') });

  const [line] = linesOf('error', (log) => log.error('broke', { error }));

  expect(line?.['error']).toMatchObject({
    name: 'TypeError',
    message: 'outer',
    stack: expect.stringContaining('log.test.ts') as string,
    cause: { name: 'RangeError', message: 'inner' },
  });
});

test('Events below the level are left out', () => {
  const lines = linesOf('warn', (log) => {
    log.debug('a');
    log.info('b');
    log.warn('c');
    log.error('d');
  });

  expect(lines.map(({ event }) => event)).toEqual(['c', 'd']);
});

test('A field that cannot be written does not end the call that logs it', () => {
  const loop: { self?: unknown } = {};
  loop.self = loop;

  const [line] = linesOf('info', (log) => log.info('call', { loop }));

  expect(line).toMatchObject({
    event: 'call',
    loop: expect.stringContaining('Circular') as string,
  });
});
