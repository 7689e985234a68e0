import { expect, test } from 'vitest';

import { progressReader } from './progress.ts';

test('progress is told in one growing count, and what else git says is kept', () => {
  const told: [number, string | undefined][] = [];
  const read = progressReader({ progress: (done, _, message) => void told.push([done, message]) });
  const said = [
    'Cloning into x...\nremote: Counting objects:  50% (1/2)\rremote: Counting objects: 100% (2/2), done.\n',
    'Receiving obj',
    'ects:  10% (1/10)\rReceiving objects:  10% (1/10)\rwarning: odd\nReceiving objects: 100% (10/10), done.\n',
    'fatal: the remote end hung up',
  ];

  const kept = [...said, '\n'].map(read).join('');

  expect(kept).toBe('warning: odd\nfatal: the remote end hung up\n');
  expect(told).toEqual([
    [50, 'Counting objects: 50%'],
    [100, 'Counting objects: 100%'],
    [110, 'Receiving objects: 10%'],
    [200, 'Receiving objects: 100%'],
  ]);
});

test('a line without an end is not kept for ever', () => {
  const read = progressReader({ progress: () => {} });

  expect(read('x'.repeat(5_000)).length).toBeGreaterThan(4_000);
});

test('a server that makes up ever more kinds of work is told of for some', () => {
  const told: number[] = [];
  const read = progressReader({ progress: (done) => void told.push(done) });

  for (let kind = 0; kind < 1_000; kind += 1) read(`remote: Kind ${kind.toString(36)}: 1% (1/1)\r`);

  expect(told).toHaveLength(20);
});
