/** The document that describes the REST interface (OpenAPI 3.1), from the table of operations and the schemas of the tools. Pure. */
import { z } from 'zod';

import type { Shape } from '#runtime/account/arguments.ts';
import { envelope } from '#runtime/envelope/envelope.ts';
import { levels } from '#runtime/envelope/levels.ts';

import { jsonType, problemType } from './answering.ts';
import { eventParameters, eventPaths } from './events.ts';
import { hasBody, tags, variablesOf, type Operation } from './operation.ts';
import { acceptedBy, type InputShape } from './reading.ts';

/** What a tool takes and answers, as it is listed. */
export interface ToolSchemas {
  readonly input: InputShape;
  readonly output: InputShape;
}

export type Json = Readonly<Record<string, unknown>>;

const jsonSchemaOf = (schema: z.ZodType, io: 'input' | 'output'): Json => {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
};

const ref = (part: string, name: string) => ({ $ref: `#/components/${part}/${name}` });

const problem = z.object({
  type: z.string().describe('about:blank: the status says what kind of problem it is.'),
  title: z.string().describe('The kind of problem.'),
  status: z.int().describe('The status of HTTP.'),
  detail: z.string().describe('What is wrong here.'),
  code: z.string().describe('What kind of thing is wrong, for programs.'),
  hint: z.string().optional().describe('What to do about it.'),
  errors: envelope.shape.errors,
  warnings: envelope.shape.warnings,
  request_id: z.string().describe('Finds the request in the log.'),
});

const failureTexts = {
  400: 'The request is malformed.',
  401: 'A good token is missing.',
  403: 'The token may not do this.',
  404: 'There is no such thing.',
  406: 'The client takes no form that there is.',
  409: 'The state does not allow this, or the same key came with other arguments.',
  412: 'It is another version by now than If-Match says.',
  413: 'It is too large.',
  415: 'The body is no JSON in UTF-8.',
  422: 'What was sent does not fit.',
  429: 'The token has made the calls that its rate allows.',
  500: 'A fault of the fleet; the reference finds it in the log.',
  503: 'It cannot be done now: try again.',
  504: 'It took too long, and was stopped.',
} as const;

type FailureStatus = keyof typeof failureTexts;

const waits = { 'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer', minimum: 0 } } };

const failureResponse = (http: FailureStatus) => ({
  description: failureTexts[http],
  ...((http === 429 || http === 503) && { headers: waits }),
  ...(http === 401 && {
    headers: { 'WWW-Authenticate': { description: 'How to authenticate.', schema: { type: 'string' } } },
  }),
  content: {
    [jsonType]: { schema: ref('schemas', 'Envelope') },
    [problemType]: { schema: ref('schemas', 'Problem') },
  },
});

const parameter = (name: string, where: 'header' | 'query', description: string, schema: object) => ({
  name,
  in: where,
  description,
  required: false,
  schema,
});

const levelText =
  'How strictly arguments are held to their schemas: strict refuses what does not fit; permissive reads what is written in the wrong form and can mean one thing only, with a warning; loose leaves out, besides, what is not known.';

const parameters = {
  Level: parameter('Flotilla-Level', 'header', levelText, { enum: levels, default: levels[0] }),
  LevelQuery: parameter('level', 'query', `${levelText} In place of the header.`, { enum: levels }),
  IfMatch: parameter(
    'If-Match',
    'header',
    'The ETag of what is to be changed: it is changed only if it is that version still.',
    { type: 'string' },
  ),
  IfNoneMatch: parameter(
    'If-None-Match',
    'header',
    'The ETag of an earlier answer: without a change, the answer is 304.',
    { type: 'string' },
  ),
  IdempotencyKey: parameter(
    'Idempotency-Key',
    'header',
    'The same key with the same arguments again gives the first answer, and makes nothing new.',
    { type: 'string', maxLength: 202 },
  ),
};

/** Failures that an operation can have, by what it is. */
function failuresOf(operation: Operation): readonly FailureStatus[] {
  const { isVersioned, takesKey, method } = operation;
  const writes = method !== 'GET';
  return [
    ...([400, 401, 403, 404, 406] as const),
    ...(writes || takesKey ? ([409] as const) : []),
    ...(writes && isVersioned ? ([412] as const) : []),
    ...([413, 415, 422, 429, 500] as const),
    ...([503, 504] as const),
  ];
}

/** `data`, as the tool's schema has it. */
function dataSchema(
  { value, isOne, parts }: Operation,
  { properties = {}, ...rest }: InputShape,
): Shape | object {
  const whole = value === undefined ? { ...rest, properties } : (properties[value] ?? {});
  if (isOne) return whole.items ?? {};
  if (!parts) return whole;
  const inner = whole.properties ?? {};
  const kept = parts.filter((part) => part in inner);
  return { type: 'object', properties: Object.fromEntries(kept.map((part) => [part, inner[part]])) };
}

const anyObject = { type: 'object', additionalProperties: true };

/** An object of which nothing is told takes anything: clients that are generated would read it as empty. */
function withOpenObjects(schema: Shape | object): object {
  return JSON.parse(JSON.stringify(schema), (_key, value: unknown) => {
    const { type, properties, additionalProperties } = (value ?? {}) as Shape;
    const isBare = type === 'object' && properties === undefined && additionalProperties === undefined;
    return isBare ? { ...(value as object), additionalProperties: true } : value;
  }) as object;
}

const etagHeader = {
  ETag: { description: 'For If-None-Match, and for If-Match.', schema: { type: 'string' } },
};

function successOf(operation: Operation, { output }: ToolSchemas): Json {
  const schema = {
    allOf: [
      ref('schemas', 'Envelope'),
      { type: 'object', properties: { data: withOpenObjects(dataSchema(operation, output)) } },
    ],
  };
  const { isPaged, location, isPartial, isVersioned, method } = operation;
  const headers = {
    ...((method === 'GET' || isVersioned) && etagHeader),
    ...(isPaged && {
      Link: { description: 'Leads to the rest, as rel="next".', schema: { type: 'string' } },
    }),
    ...(location && { Location: { description: 'Where it is.', schema: { type: 'string' } } }),
  };
  const told = { headers, content: { [jsonType]: { schema } } };
  return {
    [location ? 201 : 200]: { description: location ? 'Made.' : 'Done.', ...told },
    ...(isPartial && { 207: { description: 'Done in part: data says what is missing.', ...told } }),
    ...(method === 'GET' && { 304: { description: 'It is as the client has it.', headers: etagHeader } }),
  };
}

function operationOf(operation: Operation, schemas: ToolSchemas): Json {
  const { id, tag, summary, tool, method, isVersioned, takesKey, example } = operation;
  const accepted = withOpenObjects(acceptedBy(operation, schemas.input)) as InputShape;
  const { properties = {}, required = [] } = accepted;
  const isRead = method === 'GET';
  const pathParameters = variablesOf(operation).map((name) => ({
    name,
    in: 'path',
    required: true,
    ...described(schemas.input.properties?.[name] ?? { type: 'string' }),
  }));
  const queryParameters = hasBody(operation)
    ? []
    : Object.entries(properties).map(([name, schema]) => ({
        name,
        in: 'query',
        required: required.includes(name),
        ...described(schema),
      }));
  return {
    operationId: id,
    tags: [tag],
    summary,
    description:
      tool === '*'
        ? 'Its arguments are those that GET /api/v1/tools/{name} tells.'
        : `Answered by the tool \`${tool}\`.`,
    parameters: [
      ...pathParameters,
      ...queryParameters,
      ref('parameters', 'Level'),
      ref('parameters', 'LevelQuery'),
      ...(isRead ? [ref('parameters', 'IfNoneMatch')] : []),
      ...(!isRead && isVersioned && 'if_version' in (schemas.input.properties ?? {})
        ? [ref('parameters', 'IfMatch')]
        : []),
      ...(takesKey ? [ref('parameters', 'IdempotencyKey')] : []),
    ],
    ...(hasBody(operation) && {
      requestBody: {
        required: required.length > 0,
        content: { [jsonType]: { schema: tool === '*' ? anyObject : accepted, ...(example && { example }) } },
      },
    }),
    responses: {
      ...successOf(operation, schemas),
      ...Object.fromEntries(failuresOf(operation).map((http) => [http, ref('responses', `Failed${http}`)])),
    },
  };
}

function described(schema: Shape & { readonly description?: string }): Json {
  const { description, ...rest } = schema;
  return { ...(description !== undefined && { description }), schema: rest };
}

const listenFailures = Object.fromEntries(
  ([400, 401, 403, 404, 503] as const).map((http) => [http, ref('responses', `Failed${http}`)]),
);

function eventOperations(): Json {
  const { properties = {} } = jsonSchemaOf(eventParameters, 'input') as {
    properties?: Record<string, Shape>;
  };
  const wanted = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: false,
    ...described(schema.type === undefined ? { ...schema, type: 'integer' } : schema),
  }));
  return {
    [eventPaths.events]: {
      get: {
        operationId: 'listen',
        tags: ['events'],
        summary: 'Hear what happens to projects and tasks, as server-sent events.',
        description:
          'The stream ends with its token. The id of an event is its place: browsers go on from there by themselves, with Last-Event-ID.',
        parameters: [
          ...wanted,
          parameter('Last-Event-ID', 'header', 'In place of after.', { type: 'string' }),
        ],
        responses: {
          200: {
            description: 'Events, until either side ends the stream.',
            content: { 'text/event-stream': { schema: { type: 'string' } } },
          },
          ...listenFailures,
        },
      },
    },
    [eventPaths.socket]: {
      get: {
        operationId: 'openSocket',
        tags: ['events'],
        summary: 'Call tools and listen on one connection, over WebSocket.',
        description:
          'Frames are JSON-RPC 2.0: `tools/call`, `listen` with the parameters of GET /api/v1/events, `unlisten`, and `notifications/cancelled`. Each event is a notification `event`.',
        responses: { 101: { description: 'WebSocket is spoken from here on.' }, ...listenFailures },
      },
    },
  };
}

const openOperations: Json = {
  '/health': {
    get: {
      operationId: 'getHealth',
      tags: ['system'],
      summary: 'See that the gateway is there, and how each service is.',
      security: [],
      responses: {
        200: { description: 'It is there.', content: { [jsonType]: { schema: { type: 'object' } } } },
      },
    },
  },
};

const about = `Everything that clients of MCP can do, over plain HTTP. Send a token of the fleet: \`Authorization: Bearer TOKEN\`. What a token may do, how often, and
who asks a person first, is the same as over MCP; each call stands in the same records.

Answers have one form: \`status\`, \`data\`, \`message\`, \`errors\`, \`warnings\`, \`metadata\`. Failures have it too, unless the client accepts
\`application/problem+json\` (RFC 9457).

Lists come in pages: pass \`metadata.pagination.next_cursor\` as \`cursor\`, or follow the Link header. GET answers have an ETag for If-None-Match;
what has a version is changed with If-Match, and 412 says that somebody else was first. With an Idempotency-Key, the same request again does nothing twice.`;

export function openApi(
  operations: readonly Operation[],
  version: string,
  schemasOf: (operation: Operation) => ToolSchemas,
): Json {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of operations) {
    const here = (paths[operation.path] ??= {});
    here[operation.method.toLowerCase()] = operationOf(operation, schemasOf(operation));
  }
  const failures = Object.keys(failureTexts).map((http) => Number(http) as FailureStatus);
  return {
    openapi: '3.1.1',
    info: {
      title: 'Flotilla',
      summary: 'Projects, tasks, and every tool of the fleet, over REST.',
      description: about,
      version,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    security: [{ token: [] }],
    paths: { ...paths, ...eventOperations(), ...openOperations },
    components: {
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: 'A token of the fleet: flotilla token create.',
        },
      },
      parameters,
      responses: Object.fromEntries(failures.map((http) => [`Failed${http}`, failureResponse(http)])),
      schemas: {
        Envelope: jsonSchemaOf(envelope, 'input'),
        Problem: jsonSchemaOf(problem, 'input'),
      },
    },
  };
}
