import fc from 'fast-check';
import { expect, test } from 'vitest';

import { Hold, type Fitting } from './hold.ts';

const event = (message: object) => `event: message\ndata: ${JSON.stringify(message)}\n\n`;
const progress = (at: number) => event({ method: 'notifications/progress', params: { at } });
const long = 'x'.repeat(500);

/** What comes out of what goes in, piece by piece. */
async function passed(
  text: string,
  cuts: readonly number[],
  isStream: boolean,
  fitting: Partial<Fitting> = {},
) {
  const out: string[] = [];
  const fit = fitting.fit ?? (async () => undefined);
  const hold = new Hold(
    { freeBytes: 100, gaveUp: () => {}, ...fitting, fit },
    isStream,
    (bytes) => void out.push(bytes.toString()),
  );
  const places = [...new Set([0, ...cuts.map((cut) => cut % text.length), text.length])].toSorted(
    (a, b) => a - b,
  );
  for (const [at, start] of places.entries()) {
    const piece = text.slice(start, places[at + 1] ?? start);
    // oxlint-disable-next-line no-await-in-loop -- as it comes
    if (piece !== '') await hold.take(Buffer.from(piece));
  }
  await hold.end();
  return out;
}

test('a stream comes out as it went in, however it is cut, and long answers alone are replaced', async () => {
  const whole = [
    progress(1),
    event({ id: 1, result: { long } }),
    progress(2),
    event({ id: 2, result: {} }),
  ].join('');
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat({ max: 10_000 }), { maxLength: 20 }),
      fc.boolean(),
      async (cuts, replaces) => {
        const fit = async () => (replaces ? { told: true } : undefined);
        const out = (await passed(whole, cuts, true, { fit })).join('');
        expect(out).toBe(replaces ? whole.replace(JSON.stringify({ long }), '{"told":true}') : whole);
      },
    ),
    { numRuns: 200 },
  );
});

test('an event that is short goes on as soon as it is whole', async () => {
  const out: string[] = [];
  const hold = new Hold(
    { freeBytes: 100, fit: async () => undefined, gaveUp: () => {} },
    true,
    (bytes) => void out.push(bytes.toString()),
  );

  expect(hold.take(Buffer.from(progress(1)))).toBeUndefined();
  expect(out).toEqual([progress(1)]);
  void hold.take(Buffer.from(`${progress(2)}data: {`));
  expect(out.join('')).toBe(progress(1) + progress(2));
});

test('an answer that is no stream is looked at as a whole; one that is no answer, or too long to be held, goes on as it is', async () => {
  const answer = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { long } });
  const fit = async () => ({ told: true });
  expect(await passed(answer, [10, 300], false, { fit })).toEqual([
    '{"jsonrpc":"2.0","id":1,"result":{"told":true}}',
  ]);
  for (const other of ['no JSON', '{"error":{"code":1}}', '[1,2]', 'null'])
    expect((await passed(other, [2], false, { fit })).join('')).toBe(other); // oxlint-disable-line no-await-in-loop -- one after the other
  const huge = JSON.stringify({ result: 'y'.repeat(5 * 1024 * 1024) });
  let given = 0;
  const gaveUp = () => (given += 1);
  const out = await passed(huge, [1_000_000, 4_500_000], false, { fit, gaveUp });
  expect(out.join('') === huge).toBe(true);
  const streamed = `data: ${huge}\n\n`;
  expect((await passed(streamed, [1_000_000, 4_500_000], true, { fit, gaveUp })).join('') === streamed).toBe(
    true,
  );
  expect(given).toBe(2);
});
