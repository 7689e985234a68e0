import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeEach, expect, test, vi } from 'vitest';

import { temporaryFolder } from '../../../tests/support/serve.ts';
import { Follower, longestLineBytes, type FileLine, type Position } from './follow.ts';

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

let path: string;
let made = 0;
beforeEach(() => {
  made += 1;
  const own = join(folder.path, String(made));
  mkdirSync(own);
  path = join(own, 'app.log');
});

const text = ({ bytes }: FileLine) => bytes.toString();

/** Reads as a feed does: what it gave is stored with its position, and a new start begins there. */
class Feed {
  events: string[] = [];
  position: string | undefined;
  nowMs = 0;
  #follower = this.#start();

  #start(): Follower {
    return new Follower(path, this.position, (event) => this.events.push(event));
  }

  /** All that can be read now. */
  read(most = Infinity): string[] {
    const lines: string[] = [];
    // A file that is over is waited for, then left, and then the next one is begun.
    for (let empty = 0; empty < 4 && lines.length < most;) {
      const found = this.#follower.poll((this.nowMs += 2_000));
      if (!found) {
        empty += 1;
        continue;
      }
      empty = 0;
      lines.push(...found.lines.map(text));
      this.position = JSON.stringify(found.position);
    }
    return lines;
  }

  restart(): void {
    this.#follower[Symbol.dispose]();
    this.#follower = this.#start();
  }
}

test('lines are read as they come, and half of one waits', () => {
  writeFileSync(path, 'one\ntwo\nhal');
  const feed = new Feed();
  expect(feed.read()).toEqual(['one', 'two']);
  appendFileSync(path, 'f\nthree\n');
  expect(feed.read()).toEqual(['half', 'three']);
  expect(feed.read()).toEqual([]);
});

test('a start reads on where the last one stored, also within a half line', () => {
  writeFileSync(path, 'one\ntwo\nhal');
  const feed = new Feed();
  expect(feed.read()).toEqual(['one', 'two']);
  appendFileSync(path, 'f\n');
  feed.restart();
  expect(feed.read()).toEqual(['half']);
  feed.restart();
  expect(feed.read()).toEqual([]);
});

test('what was read and not stored is read again', () => {
  writeFileSync(path, 'one\n');
  const feed = new Feed();
  feed.read();
  const before = feed.position;
  appendFileSync(path, 'two\n');
  feed.read();
  feed.position = before;
  feed.restart();
  expect(feed.read()).toEqual(['two']);
});

test('a file that is renamed is read to its end, and then the new one', () => {
  writeFileSync(path, 'one\n');
  const feed = new Feed();
  expect(feed.read()).toEqual(['one']);
  appendFileSync(path, 'two\n');
  renameSync(path, `${path}.1`);
  appendFileSync(`${path}.1`, 'last, without an end');
  writeFileSync(path, 'new\n');
  expect(feed.read()).toEqual(['two', 'last, without an end', 'new']);
});

test('renamed several times while nobody read, every file is read once and in order', () => {
  writeFileSync(path, 'one\n');
  const feed = new Feed();
  expect(feed.read()).toEqual(['one']);
  appendFileSync(path, 'two\n');
  renameSync(path, `${path}.3`);
  writeFileSync(`${path}.2`, 'three\n');
  writeFileSync(`${path}.1`, 'four\n');
  writeFileSync(`${path}.0.gz`, 'packed\n');
  writeFileSync(path, 'five\n');
  feed.restart();
  expect(feed.read()).toEqual(['two', 'three', 'four', 'five']);
  feed.restart();
  expect(feed.read()).toEqual([]);
});

test('renamed several times between two looks, every file is read once and in order', () => {
  writeFileSync(path, 'one\n');
  writeFileSync(`${path}.bak`, 'a copy of long ago\n');
  utimesSync(`${path}.bak`, 1, 1);
  const feed = new Feed();
  expect(feed.read()).toEqual(['one']);
  appendFileSync(path, 'two\n');
  renameSync(path, `${path}.3`);
  writeFileSync(`${path}.2`, 'three\n');
  writeFileSync(`${path}.1`, 'four\n');
  writeFileSync(path, 'five\n');
  expect(feed.read()).toEqual(['two', 'three', 'four', 'five']);
  appendFileSync(path, 'six\n');
  renameSync(path, `${path}-20261129`);
  writeFileSync(path, 'seven\n');
  expect(feed.read()).toEqual(['six', 'seven']);
  expect(feed.events).toEqual([]);
});

test('a file that was emptied and has the size it had is known by its beginning', () => {
  writeFileSync(path, 'one\n');
  const feed = new Feed();
  for (const [at, word] of ['one', 'two', 'new'].entries()) {
    truncateSync(path);
    appendFileSync(path, `${word}\n`);
    utimesSync(path, 1_000 + at, 1_000 + at);
    expect(feed.read()).toEqual([word]);
  }
  utimesSync(path, 2_000, 2_000);
  expect(feed.read()).toEqual([]);
});

test('a file that is emptied in place begins anew', () => {
  writeFileSync(path, 'one\ntwo\n');
  const feed = new Feed();
  expect(feed.read()).toEqual(['one', 'two']);
  truncateSync(path);
  appendFileSync(path, 'new\n');
  expect(feed.read()).toEqual(['new']);
  expect(feed.events).toEqual(['truncated']);
});

test('a file that was emptied and is longer than before is known by its beginning', () => {
  writeFileSync(path, 'one\n');
  const feed = new Feed();
  expect(feed.read()).toEqual(['one']);
  copyFileSync(path, `${path}.1`);
  truncateSync(path);
  appendFileSync(path, 'much longer than before\n');
  expect(feed.read()).toEqual(['much longer than before']);
});

test('emptied while nobody read, it begins anew, and that something may be lost is said', () => {
  writeFileSync(path, 'one\ntwo\n');
  const feed = new Feed();
  feed.read();
  truncateSync(path);
  appendFileSync(path, 'new\n');
  feed.restart();
  expect(feed.read()).toEqual(['new']);
  expect(feed.events).toEqual(['lost_rotated']);
});

test('a file that is not there yet, vanishes and comes back is followed', () => {
  const feed = new Feed();
  expect(feed.read()).toEqual([]);
  writeFileSync(path, 'one\n');
  expect(feed.read()).toEqual(['one']);
  rmSync(path);
  expect(feed.read()).toEqual([]);
  writeFileSync(path, 'two\n');
  expect(feed.read()).toEqual(['two']);
  expect(feed.events).toEqual(['vanished', 'appeared', 'vanished', 'appeared']);
});

test('what was written and renamed before it was first found is read, and nothing older', async () => {
  writeFileSync(`${path}.2`, 'older\n');
  await vi.waitFor(() => expect(statSync(`${path}.2`).birthtimeMs).toBeLessThan(Date.now() - 50));
  using follower = new Follower(path, undefined, () => {});
  expect(follower.poll(Date.now())).toBeUndefined();

  renameSync(`${path}.2`, `${path}.3`);
  writeFileSync(path, 'one\ntwo\n');
  renameSync(path, `${path}.2`);
  writeFileSync(path, 'three\n');
  renameSync(path, `${path}.1`);
  writeFileSync(path, 'four\n');

  const lines: string[] = [];
  for (let round = 0; round < 12; round += 1)
    lines.push(...(follower.poll(Date.now() + round * 2_000)?.lines ?? []).map(text));
  expect(lines).toEqual(['one', 'two', 'three', 'four']);
  appendFileSync(path, 'five\n');
  expect(follower.poll(Date.now())?.lines.map(text)).toEqual(['five']);
});

test('a file that is gone takes no line with it that was written before', () => {
  writeFileSync(path, 'one\n');
  const feed = new Feed();
  feed.read();
  appendFileSync(path, 'two\n');
  rmSync(path);
  expect(feed.read()).toEqual(['two']);
});

test('of a line of 10 MB the beginning is kept, and the next one is whole', () => {
  writeFileSync(path, `before\n${'x'.repeat(10_000_000)}\nafter\n`);
  const feed = new Feed();
  const lines = feed.read();
  expect(lines.map((line) => line.slice(0, 6))).toEqual(['before', 'xxxxxx', 'after']);
  expect(lines[1]?.length).toBeLessThan(longestLineBytes);
});

test('bytes of every kind are handed on as they are', () => {
  writeFileSync(path, Buffer.from([0xff, 0x00, 0x0a, 0xc3, 0xa4, 0x0d, 0x0a]));
  const follower = new Follower(path, undefined, () => {});
  expect(follower.poll(0)?.lines.map(({ bytes }) => [...bytes])).toEqual([
    [0xff, 0x00],
    [0xc3, 0xa4, 0x0d],
  ]);
  follower[Symbol.dispose]();
});

test('a folder, a pipe and a position that is none are no reason to stop', () => {
  mkdirSync(path);
  const feed = new Feed();
  expect(feed.read()).toEqual([]);
  expect(feed.events).toEqual(['unreadable']);
  rmSync(path, { recursive: true });
  writeFileSync(path, 'one\n');
  feed.position = '{"offset":-1}';
  feed.restart();
  expect(feed.read()).toEqual(['one']);
});

test('a link to a file is followed to the file that it names then', () => {
  writeFileSync(`${path}-a`, 'a\n');
  writeFileSync(`${path}-b`, 'b\n');
  symlinkSync(`${path}-a`, path);
  const feed = new Feed();
  expect(feed.read()).toEqual(['a']);
  rmSync(path);
  symlinkSync(`${path}-b`, path);
  expect(feed.read()).toEqual(['b']);
});

test('it is not read beyond what is there, however it grows meanwhile', () => {
  const feed = new Feed();
  const seen: string[] = [];
  for (let at = 0; at < 200; at += 1) {
    appendFileSync(path, `line ${at}\nhalf of ${at}`);
    seen.push(...feed.read(1));
    appendFileSync(path, ' whole\n');
    if (at % 50 === 49) feed.restart();
  }
  seen.push(...feed.read());
  expect(seen).toEqual(Array.from({ length: 200 }, (_, at) => [`line ${at}`, `half of ${at} whole`]).flat());
});

test('a position says where the last whole line ends', () => {
  writeFileSync(path, 'one\ntw');
  const follower = new Follower(path, undefined, () => {});
  const { position } = follower.poll(0) as { position: Position };
  expect(position.offset).toBe(4);
  follower[Symbol.dispose]();
});

test('a file that was copied and emptied while nobody looked is read on in its copy, and then from its start', () => {
  writeFileSync(path, 'one\ntwo\n');
  const feed = new Feed();
  expect(feed.read()).toEqual(['one', 'two']);

  appendFileSync(path, 'three\n');
  copyFileSync(path, `${path}.1`);
  truncateSync(path);
  writeFileSync(path, 'four\n', { flag: 'r+' });
  feed.restart();

  expect(feed.read()).toEqual(['three', 'four']);
  expect(feed.events).toEqual([]);
});

test('where its copy was packed, what is lost is told', () => {
  writeFileSync(path, 'one\ntwo\n');
  const feed = new Feed();
  feed.read();

  appendFileSync(path, 'three\n');
  copyFileSync(path, `${path}.1.gz`);
  truncateSync(path);
  writeFileSync(path, 'four\n', { flag: 'r+' });
  feed.restart();

  expect(feed.read()).toEqual(['four']);
  expect(feed.events).toEqual(['lost_rotated']);
});
