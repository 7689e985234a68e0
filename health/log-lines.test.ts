import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { expect, test, vi } from 'vitest';

import { processLogFile } from '#runtime/account/log.ts';

import { temporaryFolder } from '../tests/support/serve.ts';
import { linesIn, LogLines } from './log-lines.ts';
import { plainText } from '#runtime/plain-text.ts';

const line = (event: string, fields: object = {}) =>
  `${JSON.stringify({ time: '2026-11-20T12:00:00.000Z', level: 'warn', service: 'memory', event, ...fields })}\n`;

test('records are told in short, without stacks and secrets; other words as they are', () => {
  const error = { name: 'Error', message: 'disk full', stack: 'at secret place' };

  const lines = linesIn(
    `${line('write_failed', { error, token: 'hunter2hunter2', path: '/x' })}Segmentation fault, password=hunter3\n\n{"half":`,
  );

  expect(lines).toEqual([
    {
      time: '2026-11-20T12:00:00.000Z',
      level: 'warn',
      text: 'write_failed error="disk full" token=[redacted] path="/x"',
    },
    { time: null, level: null, text: 'Segmentation fault, password=[redacted]' },
    { time: null, level: null, text: '{"half":' },
  ]);
});

test('the newest lines are kept, each of bounded length', () => {
  const lines = linesIn(
    Array.from({ length: 100 }, (_, index) => line(`event_${index}`, { text: 'x'.repeat(5_000) })).join(''),
  );

  expect(lines).toHaveLength(40);
  expect(lines.at(-1)?.text).toMatch(/^event_99 text="x+…$/);
  expect(lines.at(-1)?.text).toHaveLength(400);
});

test('controls, turned directions and half characters do not reach a page', () => {
  expect(plainText('a\u001b[31mred\u001b[0m\nb\u202ec\u0000\u2066d\ud800', 100)).toBe('ared b c d\ufffd');
  expect(plainText('\u200f\u200e ', 100)).toBe('');
  expect(plainText('😀😀😀', 4)).toBe('😀\ufffd…');
});

test('the end of a file is read behind who asks, and again when it may have grown', async () => {
  using folder = temporaryFolder();
  const clock = { ms: 0 };
  const file = processLogFile(folder.path, 'memory');
  mkdirSync(dirname(file));
  writeFileSync(file, line('early', { text: 'x'.repeat(70_000) }) + line('first'));
  const lines = new LogLines(folder.path, () => clock.ms);
  const texts = () => lines.of('memory').map(({ text }) => text);

  expect(texts()).toEqual([]);
  await vi.waitFor(async () => {
    await lines.settled('memory');
    expect(texts()).toEqual(['first']);
  });
  appendFileSync(file, line('second'));
  expect(texts()).toEqual(['first']);
  clock.ms += 3_001;
  await vi.waitFor(() => expect(texts()).toEqual(['first', 'second']));
  expect(lines.of('nobody')).toEqual([]);
});
