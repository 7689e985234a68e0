import { expect, test } from 'vitest';

import { toolsOf } from '#runtime/service.ts';
import { invoke } from '#runtime/testing.ts';
import { createToken } from '#runtime/access/tokens.ts';

import { legacyClient, modernClient } from '../../tests/support/clients.ts';
import { callTool, send } from '../../tests/support/rpc.ts';
import { serve } from '../../tests/support/serve.ts';
import { contract } from './contract.fixture.ts';
import {
  maxBranchIdLength,
  maxImportLength,
  maxQueryLength,
  maxThoughtLength,
  maxThoughtsPerImport,
  maxTitleLength,
} from './limits.ts';
import service, { allTools, coreTools } from './service.ts';
import { contentOf, memoryStore } from './store.fixture.ts';

const thought = { thought: 'So.', nextThoughtNeeded: true, thoughtNumber: 3, totalThoughts: 3 };

async function prepared() {
  const store = memoryStore();
  const valid = await contract.prepare({
    folder: '',
    foreign: 'a thought',
    call: async (name, args) => invoke(tool(name), args, store),
  });
  return {
    store,
    args: (name: string) => valid[name] ?? {},
    [Symbol.dispose]: () => store[Symbol.dispose](),
  };
}

function tool(name: string) {
  const found = allTools.find((candidate) => candidate.name === name);
  if (!found) throw new TypeError(`No tool ${name}`);
  return found;
}

const ofSessions = allTools
  .filter(({ name, input }) => name !== 'search_thoughts' && 'session_id' in input.shape)
  .map(({ name }) => name);

test.each(ofSessions)('%s does not know a session that does not exist, and changes nothing', async (name) => {
  using given = await prepared();
  const before = contentOf(given.store);

  const call = invoke(tool(name), { ...given.args(name), session_id: '__proto__' }, given.store);

  await expect(call).rejects.toMatchObject({
    code: 'not_found',
    message: 'There is no session __proto__.',
    hint: expect.stringContaining('list_sessions') as string,
  });
  expect(contentOf(given.store)).toEqual(before);
});

const long = (length: number) => 'x'.repeat(length + 1);
const oversized = [
  ['sequentialthinking', { thought: long(maxThoughtLength) }, 'too_large'],
  ['sequentialthinking', { thought: long(10_000_000) }, 'too_large'],
  ['sequentialthinking', { branchId: long(maxBranchIdLength) }, 'too_large'],
  ['sequentialthinking', { thoughtNumber: 2 ** 53 }, 'invalid_input'],
  ['sequentialthinking', { thoughtNumber: '9'.repeat(400) }, 'invalid_input'],
  ['sequentialthinking', { session_id: long(64) }, 'invalid_input'],
  ['start_session', { title: long(maxTitleLength) }, 'too_large'],
  ['list_sessions', { limit: 201 }, 'invalid_input'],
  ['list_sessions', { cursor: long(2_000) }, 'invalid_input'],
  ['get_session', { limit: 501 }, 'invalid_input'],
  ['get_session', { branch: long(maxBranchIdLength) }, 'invalid_input'],
  ['get_session', { from: Number.MAX_VALUE }, 'invalid_input'],
  ['get_summary', { max_chars: 100_001 }, 'invalid_input'],
  ['compare_branches', { branches: Array.from({ length: 100_000 }, () => 'b') }, 'invalid_input'],
  ['search_thoughts', { query: long(maxQueryLength) }, 'invalid_input'],
  ['search_thoughts', { query: 'a b c d e f g h i j k l m n o p q' }, 'invalid_input'],
  ['export_session', { limit: maxThoughtsPerImport + 1 }, 'invalid_input'],
  ['import_session', { content: long(maxImportLength) }, 'invalid_input'],
  [
    'import_session',
    { content: JSON.stringify({ from: 3, thoughts: [{ ...thought, thought: long(maxThoughtLength) }] }) },
    'too_large',
  ],
  ['delete_session', { session_id: long(64) }, 'invalid_input'],
] as const;

test.each(oversized)('%s refuses what is too large, and changes nothing (%#)', async (name, args, code) => {
  using given = await prepared();
  const before = contentOf(given.store);

  await expect(invoke(tool(name), { ...given.args(name), ...args }, given.store)).rejects.toMatchObject({
    code,
  });

  expect(contentOf(given.store)).toEqual(before);
});

test('the setting chooses between the core tools and all', () => {
  const { settings } = service;

  expect(toolsOf(service, settings.parse({}))).toEqual(allTools);
  expect(toolsOf(service, settings.parse({ FLOTILLA_SEQUENTIAL_THINKING_TOOLS: 'core' }))).toEqual(coreTools);
  expect(() => settings.parse({ FLOTILLA_SEQUENTIAL_THINKING_MAX_MIB: '0' })).toThrow('>=1');
});

test('what others wrote is marked as data, and kept apart in the tools of our own', () => {
  const marked = (how: 'as-is' | 'bounded' | undefined) =>
    allTools.filter(({ untrusted }) => untrusted === how).map(({ name }) => name);

  expect(marked('as-is')).toEqual(['sequentialthinking']);
  expect(marked(undefined)).toEqual(['start_session', 'import_session', 'delete_session']);
});

test('the description of the official tool costs a fraction of the official one', () => {
  expect(tool('sequentialthinking').description.length).toBeLessThan(600);
});

test('clients of both eras think, read the session as a resource and get the prompt', async () => {
  await using served = await serve(service);
  await using modern = await modernClient(served);
  await using legacy = await legacyClient(served);

  const first = await modern.callTool({
    name: 'sequentialthinking',
    arguments: { ...thought, thoughtNumber: 1 },
  });
  const second = await legacy.callTool({
    name: 'sequentialthinking',
    arguments: { ...thought, thoughtNumber: '2' },
  });
  const { session_id: session } = first.structuredContent as { session_id: string };

  expect(second).toMatchObject({
    structuredContent: { session_id: session, thoughtHistoryLength: 2, warnings: [] },
    content: [{ type: 'text', text: JSON.stringify(second.structuredContent, null, 2) }],
    _meta: { 'flotilla/untrusted': true },
  });
  for (const client of [modern, legacy]) {
    const { contents } = await client.readResource({ uri: `thinking://session/${session}` });
    const [content] = contents;
    expect(content && 'text' in content && (JSON.parse(content.text) as unknown)).toMatchObject({
      session: { session_id: session, thoughts: 2 },
      thoughts: [{ thought: 'So.' }, { position: 2 }],
    });
    await expect(client.readResource({ uri: 'thinking://session/nope' })).rejects.toThrow('not found');
    const prompt = await client.getPrompt({ name: 'think_through', arguments: { problem: 'Why {x}?' } });
    expect(JSON.stringify(prompt.messages)).toContain('Why {x}?');
  }
});

test('two tokens that think at the same time, without naming a session, each get their own', async () => {
  await using served = await serve(service);
  const secrets = new Map<string, string>();
  for (const name of ['ada', 'bob'])
    secrets.set(name, await createToken(served.dataRoot, { name, scope: ['*'], expiresAt: null }));
  const ready = async (token: string) => (await send(served, 'tools/list', {}, { token })).ok;
  for (const token of secrets.values()) await expect.poll(async () => ready(token)).toBe(true);

  const sessions = await Promise.all(
    Array.from(secrets, async ([name, token]) => {
      const said = new Set<unknown>();
      for (let thoughtNumber = 1; thoughtNumber <= 200; thoughtNumber += 1) {
        const branch = thoughtNumber > 1 && {
          branchFromThought: 1,
          branchId: `${name} ${thoughtNumber % 5}`,
        };
        const args = { ...thought, thoughtNumber, ...branch };
        const { result } = await callTool(served, 'sequentialthinking', args, { token });
        const answer = result?.['structuredContent'] as Readonly<Record<string, unknown>>;
        expect(answer).toMatchObject({ thoughtNumber, thoughtHistoryLength: thoughtNumber });
        for (const branch of answer['branches'] as string[]) expect(branch).toMatch(name);
        said.add(answer['session_id']);
      }
      return said;
    }),
  );

  expect(sessions.map(({ size }) => size)).toEqual([1, 1]);
  expect(sessions[0]).not.toEqual(sessions[1]);
});
