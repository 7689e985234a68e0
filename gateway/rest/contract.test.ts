/** The interface holds what its document says: requests are made from the document, and answers held against it. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import fc from 'fast-check';
import openapiTS from 'openapi-typescript';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { operations } from './operations.ts';
import { openRest, type RestTrial } from '../../tests/support/rest.ts';

interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly minItems?: number;
  readonly maxLength?: number;
  readonly minLength?: number;
}
interface Described {
  readonly operationId: string;
  readonly parameters?: readonly {
    readonly $ref?: string;
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly schema: Schema;
  }[];
  readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: Schema } } };
  readonly responses: Readonly<Record<string, { readonly $ref?: string }>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
}

let rest: RestTrial;
let document: Document;
let ajv: Ajv2020;
/** Of things that are there, so that requests find some. */
const pool: Record<string, string[]> = {};

beforeAll(async () => {
  rest = await openRest();
  document = (await (await fetch(`${rest.url}/openapi.json`)).json()) as Document;
  ajv = new Ajv2020({ strict: false, validateFormats: true });
  formats.default(ajv);
  ajv.addSchema(document, 'document');
  // Some are cancelled or removed while others are asked for.
  const many = (path: string, body: object) =>
    Promise.all(Array.from({ length: 6 }, async () => (await rest.ask('POST', path, { body })).body.data));
  const projects = await many('/api/v1/projects', { name: 'Seed', template: 'generic' });
  const tasks = await many('/api/v1/tasks', { title: 'Seed' });
  await rest.ask('POST', '/api/v1/workers', { body: { worker: 'seed', capabilities: ['typescript'] } });
  await rest.ask('POST', '/api/v1/tools/register_agent', { body: { name: 'seed', capabilities: [] } });
  pool['project_id'] = projects.map(({ project_id: id }) => id);
  pool['task_id'] = tasks.map(({ task_id: id }) => id);
  pool['depends_on'] = pool['task_id'];
  pool['template'] = ['generic', 'web_application'];
  pool['type'] = ['backend', 'qa'];
  for (const name of ['capabilities', 'capability', 'requires']) pool[name] = ['typescript', 'sql'];
  pool['deadline'] = ['2099-01-01T00:00:00Z'];
  pool['worker'] = ['seed'];
  pool['name'] = ['seed', 'text', 'count_tokens', 'add_memory', 'list_tasks'];
});
afterAll(async () => rest[Symbol.asyncDispose]());

test('the document is one of OpenAPI 3.1, and whole', async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(structuredClone(document) as never);
  expect(errors ?? []).toEqual([]);
  expect(valid).toBe(true);
  expect(validator.version).toBe('3.1');

  const described = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const ids = described.map(({ operationId }) => operationId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toEqual(expect.arrayContaining(operations.map(({ id }) => id)));
});

test('a document that is none is found out', async () => {
  const { paths, ...rest31 } = document as Document & Record<string, unknown>;
  const { valid } = await new Validator().validate({ ...rest31, paths: { x: paths } });
  expect(valid).toBe(false);
});

test('every operation is answered by a tool of the service that it names, and every tool of the orchestrator by one', async () => {
  const { body } = await rest.ask('GET', '/api/v1/tools?service=orchestrator&limit=500');
  const there = (body.data as { name: string }[]).map(({ name }) => name);
  const named = operations.flatMap(({ service, tool }) => (service === 'orchestrator' ? [tool] : []));

  expect([...new Set(named)].toSorted()).toEqual(there.toSorted());
});

const textOf = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));

const anyJson = fc.jsonValue({ maxDepth: 2 });

/** A value of this form, now and then one that is there. */
function valueOf(schema: Schema, name: string): fc.Arbitrary<unknown> {
  if (name === 'wait_seconds') return fc.constantFrom(0, 0.01);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const there = pool[name];
  const { type, minimum = -3, maximum = 1_000, items = {}, properties = {}, required = [] } = schema;
  if (type === 'integer') return fc.integer({ min: minimum, max: maximum });
  if (type === 'number') return fc.double({ min: minimum, max: maximum, noNaN: true });
  if (type === 'boolean') return fc.boolean();
  if (type === 'string') {
    const { minLength = 1, maxLength = 20 } = schema;
    const text = fc.string({ minLength, maxLength: Math.max(minLength, Math.min(maxLength, 20)) });
    return there ? fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...there) }, text) : text;
  }
  if (type === 'array')
    return fc.array(valueOf(items, name), { minLength: schema.minItems ?? 0, maxLength: 3 });
  if (type === 'object')
    return fc.record(
      Object.fromEntries(Object.entries(properties).map(([key, inner]) => [key, valueOf(inner, key)])),
      { requiredKeys: [...required] },
    );
  return anyJson;
}

interface Request {
  readonly path: string;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

function requestFor(template: string, described: Described, isValid: boolean): fc.Arbitrary<Request> {
  const own = (described.parameters ?? []).filter(({ $ref }) => $ref === undefined);
  const schema = described.requestBody?.content['application/json'].schema;
  const text = (name: string, inner: Schema) =>
    isValid ? valueOf(inner, name) : fc.oneof(valueOf(inner, name), anyJson);
  const values = fc.record(
    Object.fromEntries(own.map(({ name, schema: inner }) => [name, text(name, inner)])),
    { requiredKeys: own.flatMap(({ name, required }) => (required ? [name] : [])) },
  );
  const body = schema
    ? isValid
      ? valueOf(schema, '')
      : fc.oneof(
          anyJson,
          fc
            .tuple(valueOf(schema, ''), fc.string(), anyJson)
            .map(([value, key, more]) => ({ ...(value as object), [key]: more })),
        )
    : fc.constant(undefined);
  const level = fc.constantFrom('strict', 'permissive', 'loose', ...(isValid ? [] : ['none']));
  const accept = fc.constantFrom(
    'application/json',
    'application/problem+json',
    '*/*',
    ...(isValid ? [] : ['text/html']),
  );
  return fc
    .record({ values, body, level, accept })
    .map(({ values: given, body: sent, level: asked, accept: accepts }) => {
      const query = new URLSearchParams();
      let path = template;
      for (const { name, in: where } of own) {
        const value = (given as Record<string, unknown>)[name];
        if (where === 'path') {
          const said = String(value)
            .toWellFormed()
            .replace(/^\.{0,2}$/, 'x');
          path = path.replace(`{${name}}`, encodeURIComponent(said));
        } else if (where === 'query' && value !== undefined)
          for (const one of [value].flat()) query.append(name, textOf(one).toWellFormed());
      }
      return {
        path: query.size > 0 ? `${path}?${query.toString()}` : path,
        body: sent,
        headers: { 'flotilla-level': asked, accept: accepts },
      };
    });
}

const pointer = (...parts: readonly string[]) =>
  parts.map((part) => `/${encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))}`).join('');

/** What is wrong with an answer, by the document. */
function complaintOf(
  template: string,
  method: string,
  described: Described,
  told: { readonly http: number; readonly headers: Headers; readonly text: string },
): string | undefined {
  const { http, headers, text } = told;
  if (http === 500) return `500: ${text}`;
  const response = described.responses[String(http)];
  if (!response) return `${http} is not in the document: ${text.slice(0, 300)}`;
  if (http === 304) return text === '' ? undefined : 'a 304 has no body';
  const type = headers.get('content-type') ?? '';
  const place = response.$ref?.slice(1) ?? pointer('paths', template, method, 'responses', String(http));
  const validate = ajv.getSchema(`document#${place}${pointer('content', type, 'schema')}`);
  if (!validate) return `${type} is not in the document for ${http}`;
  return validate(JSON.parse(text))
    ? undefined
    : `${http}: ${ajv.errorsText(validate.errors)}: ${text.slice(0, 500)}`;
}

const tried = { valid: 10, invalid: 8 };
const seen = new Set<string>();

test('whatever is asked for is answered as the document says, and nothing breaks', async () => {
  const all = Object.entries(document.paths)
    .filter(([path]) => path.startsWith('/api/') && path !== '/api/v1/events' && path !== '/api/v1/socket')
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, described]) => ({ path, method, described })),
    );
  expect(all).toHaveLength(operations.length);
  const complaints: string[] = [];
  const property = async ({ path, method, described }: (typeof all)[number], isValid: boolean) =>
    fc.assert(
      fc.asyncProperty(requestFor(path, described, isValid), async (request) => {
        const told = await rest.ask(method.toUpperCase(), request.path, request);
        seen.add(`${described.operationId} ${told.http}`);
        const complaint = complaintOf(path, method, described, told);
        if (complaint)
          complaints.push(`${method} ${request.path} ${JSON.stringify(request.body)}: ${complaint}`);
        expect(complaint).toBeUndefined();
      }),
      { numRuns: isValid ? tried.valid : tried.invalid, endOnFailure: true },
    );
  await Promise.allSettled(all.flatMap((one) => [property(one, true), property(one, false)]));

  expect(complaints.slice(0, 10)).toEqual([]);
  const good = new Set([...seen].flatMap((one) => (/ 20\d$/.test(one) ? [one.split(' ')[0]] : [])));
  // Those that need a lease or a version are tried where they are told of.
  expect(good.size).toBeGreaterThan(20);
});

test('an answer that is not as the document says is found out', () => {
  const described = document.paths['/api/v1/tools']?.['get'] as Described;
  const headers = new Headers({ 'content-type': 'application/json' });
  const complain = (http: number, body: object) =>
    complaintOf('/api/v1/tools', 'get', described, { http, headers, text: JSON.stringify(body) });
  expect(complain(418, {})).toMatch(/not in the document/);
  expect(complain(200, { status: 'fine' })).toMatch(/must/);
  expect(complain(500, {})).toMatch(/^500/);
});

const program = `
import createClient from 'openapi-fetch';
import type { paths } from './api.ts';

const [baseUrl = '', token = ''] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { authorization: \`Bearer \${token}\` } });

const good = <Value>({ data, error }: { data?: Value; error?: unknown }): Value => {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
};

await client.POST('/api/v1/workers', { body: { worker: 'client', capabilities: ['x-client'], most_tasks: 5 } });
const made = good(await client.POST('/api/v1/projects', {
  body: {
    name: 'By a client',
    tasks: [
      { key: 'a', title: 'First', requires: ['x-client'] },
      { title: 'Second', requires: ['x-client'], depends_on: ['a'] },
    ],
  },
}));
const project_id: string = made.data!.project_id;
// Others have left tasks that anybody may take.
for (let rounds = 0; rounds < 500; rounds += 1) {
  const { data: tasks = [] } = good(await client.POST('/api/v1/workers/{worker}/claim', {
    params: { path: { worker: 'client' } },
    body: { most: 5, wait_seconds: 1 },
  }));
  for (const { task_id, lease } of tasks) {
    good(await client.POST('/api/v1/tasks/{task_id}/complete', {
      params: { path: { task_id } },
      body: { fence: (lease as { fence: number }).fence, result: { done: true } },
    }));
  }
  const { data } = good(await client.GET('/api/v1/projects/{project_id}/progress', { params: { path: { project_id } } }));
  if (data?.status !== 'completed') continue;
  console.log(JSON.stringify(data));
  break;
}
`;

test('a client that is made from the document compiles, and runs a project', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-rest-client-'));
  try {
    const home = fileURLToPath(new URL('../..', import.meta.url));
    symlinkSync(join(home, 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'api.ts'), await openapiTS(structuredClone(document) as never));
    writeFileSync(join(folder, 'client.ts'), program);
    const options = {
      target: 'esnext',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      skipLibCheck: true,
      types: ['node'],
    };
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: options, include: ['*.ts'] }),
    );
    const compiled = spawnSync(join(home, 'node_modules/.bin/tsc'), ['-p', '.'], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(compiled.stdout).toBe('');

    const run = spawn(process.execPath, ['client.ts', rest.url, rest.token], { cwd: folder });
    let said = '';
    run.stdout.on('data', (text: Buffer) => (said += text.toString()));
    run.stderr.on('data', (text: Buffer) => (said += text.toString()));
    const code = await new Promise((done) => run.once('close', done));

    expect([code, said]).toEqual([0, expect.stringContaining('"percent":100')]);
    expect(JSON.parse(said)).toMatchObject({ status: 'completed', counts: { completed: 2 } });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
