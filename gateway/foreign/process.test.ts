import { expect, test } from 'vitest';

import { ProcessTransport } from './process.ts';

/** What a program says that is given as JavaScript, by turns of the event loop, and what it complains of. */
async function heardFrom(code: string, question?: object) {
  const messages: Readonly<Record<string, unknown>>[] = [];
  const complaints: string[] = [];
  let [inTurn, mostInTurn] = [0, 0];
  const args = ['-e', code];
  const launch = { command: process.execPath, args, env: {}, cwd: undefined, read: [], write: [] };
  const transport = new ProcessTransport({ ...launch, sandbox: 'none' }, (line) => complaints.push(line));
  const { promise: ended, resolve: onclose } = Promise.withResolvers<void>();
  const onmessage = (message: Readonly<Record<string, unknown>>) => {
    messages.push(message);
    if (inTurn === 0) setImmediate(() => (inTurn = 0));
    inTurn += 1;
    mostInTurn = Math.max(mostInTurn, inTurn);
  };
  Object.assign(transport, { onmessage, onclose });
  await transport.start();
  if (question) await transport.send(question);
  await ended;
  return { messages, complaints, mostInTurn };
}

test('one that floods is read a few messages at a time, and nothing of it is lost', async () => {
  const flood = `console.log('{"jsonrpc":"2.0","method":"x"}\\n'.repeat(1_500).trim())`;
  const { messages, mostInTurn } = await heardFrom(flood);

  expect(messages).toHaveLength(1_500);
  expect(mostInTurn).toBeLessThanOrEqual(250);
});

test('what it was asked for does not wait', async () => {
  const question = { jsonrpc: '2.0', id: 1, method: 'x' };
  const answer = `process.stdin.once('data', () => {
    console.log('{"jsonrpc":"2.0","id":1,"result":{}}');
    process.exit();
  })`;
  const { messages } = await heardFrom(answer, question);

  expect(messages).toEqual([{ jsonrpc: '2.0', id: 1, result: {} }]);
});

test('what it says where messages are meant is logged as far as the log takes it', async () => {
  const { complaints } = await heardFrom(`console.log('Hello\\n'.repeat(500))`);

  expect(complaints).toHaveLength(61);
  expect(complaints.at(-1)).toBe('more than the log takes in a minute');
});
