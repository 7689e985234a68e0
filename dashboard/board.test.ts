import { expect, test, vi } from 'vitest';

import { Board, type Rendered } from './board.ts';

const heard = () => {
  const pieces = new Map<string, string>();
  const clock = { ms: 1_000 };
  const alive = new Set(['one', 'two']);
  const board = new Board({
    render: async (): Promise<Rendered> => ({ pieces, polledAt: new Date(clock.ms).toISOString() }),
    isAlive: (hash) => alive.has(hash),
    now: () => clock.ms,
    failed: (error) => {
      throw error;
    },
    intervalMs: 5,
    mostStreams: 3,
    mostPerToken: 2,
  });
  return { board, pieces, clock, alive, [Symbol.dispose]: () => board[Symbol.dispose]() };
};

/** What comes on a stream, as a browser would have it. */
function reading(response: Response | undefined) {
  const stream = response?.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  let ended = false;
  void (async () => {
    for (;;) {
      const { done, value } = (await stream?.read()) ?? { done: true, value: '' };
      text += value ?? '';
      if (done) break;
    }
    ended = true;
  })();
  return {
    get text() {
      return text;
    },
    get ended() {
      return ended;
    },
    pieces: () =>
      [...text.matchAll(/event: pieces\nid: (\S+)\ndata: (.*)\n/g)].map(([, id, data = '']) => ({
        id,
        data: JSON.parse(data) as unknown,
      })),
    leave: async () => stream?.cancel(),
  };
}

test('who looks gets what changes, and nothing that only tells how long ago something was', async () => {
  using here = heard();
  here.pieces.set('a', 'up for <time datetime="x">1 s</time>').set('b', 'b1');
  const mark = here.board.take('', here.pieces);
  const stream = reading(await here.board.open('', mark, 'one'));
  await vi.waitFor(() => expect(stream.text).toContain('retry: 2000\n\n'));

  here.pieces.set('a', 'up for <time datetime="x">2 s</time>');
  here.pieces.set('b', 'b2\nwith a line');
  await vi.waitFor(() => expect(stream.pieces()).toHaveLength(1));

  expect(stream.pieces()[0]?.data).toEqual({ b: 'b2\nwith a line' });
  expect(stream.text).toMatch(/event: polled\ndata: \{"nowMs":1000,"polledMs":1000\}\n\n/);
});

test('a stream goes on from what its reader has; of another start, and of words that are none, it begins anew', async () => {
  using here = heard();
  here.pieces.set('a', 'a1').set('b', 'b1');
  const before = here.board.take('', here.pieces);
  here.pieces.set('b', 'b2');
  const now = here.board.take('', here.pieces);
  const got = async (mark: string) => {
    const stream = reading(await here.board.open('', mark, 'one'));
    await vi.waitFor(() => expect(stream.text).toContain('event: polled'));
    await stream.leave();
    return stream.pieces().map(({ id, data }) => [id, data]);
  };

  expect(await got(now)).toEqual([]);
  expect(await got(before)).toEqual([[now, { b: 'b2' }]]);
  for (const mark of ['', 'x.y', 'other.9', '__proto__']) {
    expect(await got(mark)).toEqual([[now, { a: 'a1', b: 'b2' }]]);
  }
  expect(here.board.count).toBe(0);
});

test('there is a comment each 15 s, so that nothing between takes the stream for dead', async () => {
  using here = heard();
  const stream = reading(await here.board.open('', '', 'one'));

  here.clock.ms += 15_000;
  await vi.waitFor(() => expect(stream.text).toContain(': still here\n\n'));
  here.clock.ms -= 3_600_000;
  await vi.waitFor(() => expect(stream.text.match(/: still here/g)).toHaveLength(2));
});

test('streams are bounded, by token and all together; who leaves makes room', async () => {
  using here = heard();
  const one = reading(await here.board.open('', '', 'one'));
  await here.board.open('memory', '', 'one');

  expect(await here.board.open('', '', 'one')).toBeUndefined();
  await here.board.open('', '', 'two');
  expect(await here.board.open('', '', 'two')).toBeUndefined();

  await one.leave();
  expect(await here.board.open('', '', 'two')).toBeDefined();
});

test('a stream ends with its token, and with the process', async () => {
  using here = heard();
  const [one, two] = [
    reading(await here.board.open('', '', 'one')),
    reading(await here.board.open('', '', 'two')),
  ];

  here.alive.delete('one');
  await vi.waitFor(() => expect(one.ended).toBe(true));
  expect(two.ended).toBe(false);
  here.board.end();

  await vi.waitFor(() => expect(two.ended).toBe(true));
  expect(await here.board.open('', '', 'two')).toBeUndefined();
});

test('who does not read is let go before much waits for them', async () => {
  using here = heard();
  let version = 0;
  const response = await here.board.open('', '', 'one');
  expect(response).toBeDefined();

  await vi.waitFor(() => {
    here.pieces.set('a', `${(version += 1)}`.padEnd(200_000, 'x'));
    expect(here.board.count).toBe(0);
  });
});
