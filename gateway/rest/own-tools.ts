/** What the gateway itself does for clients of REST. Tools like any other, but that no list of MCP has them. */
import { z } from 'zod';

import { mayUse } from '#runtime/access/choice.ts';
import type { Caller } from '#runtime/access/tokens.ts';
import { envelope } from '#runtime/envelope/envelope.ts';
import { fitted, levels } from '#runtime/envelope/levels.ts';
import { check } from '#runtime/envelope/validators.ts';
import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { completing, reading, replacing } from '#runtime/hints.ts';
import { version } from '#runtime/process/version.ts';
import { defineTool, type AnyTool } from '#runtime/tool.ts';
import { inTurns } from '#runtime/turns.ts';

import { listOf } from '../lists.ts';
import type { Standing } from '../standing.ts';
import { choosable, effectOf, type Behind, type Listed } from '../surface.ts';
import { callIntegration, listIntegrations } from './integrations.ts';
import type { ToolResult } from './answering.ts';
import type { Value } from './operation.ts';
import type { SchemaRegistry } from './schema-registry.ts';

/** What they work with, for one caller. */
export interface OwnParts {
  readonly standing: Standing;
  readonly schemas: SchemaRegistry;
  readonly caller: Caller;
  /** Calls a tool in the caller's name, by the rules for all calls, with an account of its own. */
  readonly call: (tool: string, args: Value) => Promise<ToolResult>;
}

const nameField = z.string().min(1).max(200).describe('The name of the tool.');
const schemaName = z
  .string()
  .regex(/^[a-z][a-z0-9_.-]{0,63}$/, 'must be up to 64 of a-z, 0-9 and _ . -, and begin with a letter')
  .describe('The name of the schema.');
const versionField = z
  .int()
  .min(1)
  .optional()
  .describe('The version of the schema; the newest unless given.');

const toolRow = z.object({
  name: z.string().describe('Its name.'),
  service: z.string().describe('Who answers it.'),
  title: z.string().optional().describe('Its name for people.'),
  description: z.string().describe('What it is for.'),
  effect: z.string().describe('What calling it takes: read, write or destroy.'),
});

const wholeTool = toolRow.extend({
  input_schema: z.record(z.string(), z.unknown()).describe('JSON Schema of its arguments.'),
  output_schema: z.record(z.string(), z.unknown()).optional().describe('JSON Schema of its value.'),
});

function rowsOf({ standing, caller }: OwnParts): readonly (readonly [Behind, Listed])[] {
  return standing.all
    .flatMap((behind) => listOf('tools', [behind], caller, undefined).map((tool) => [behind, tool] as const))
    .toSorted(([, one], [, other]) => (one.name < other.name ? -1 : 1));
}

function rowOf([behind, { name, title, description = '' }]: readonly [Behind, Listed]): z.input<
  typeof toolRow
> {
  const effect = (behind.surface && effectOf(behind.surface, name)) ?? 'destroy';
  return { name, service: behind.name, ...(typeof title === 'string' && { title }), description, effect };
}

const listTools = defineTool({
  name: 'list_tools',
  title: 'List Tools',
  description: 'List the tools that the token may call, by name.',
  effect: 'read',
  hints: reading,
  input: z.object({
    service: z.string().max(200).optional().describe('Only those of this service.'),
    limit: z.int().min(1).max(500).default(100).describe('Most to return.'),
    cursor: z.string().max(1_000).optional().describe('As an earlier call returned it in next_cursor.'),
  }),
  output: z.object({
    tools: z.array(toolRow).describe('In the order of their names.'),
    next_cursor: z.string().optional().describe('For the rest.'),
  }),
  async handler({ service, limit, cursor }, parts: OwnParts) {
    await parts.standing.seen();
    const [after] = decodeCursor('list_tools', { service }, cursor, z.tuple([z.string()]), ['']);
    const rows = rowsOf(parts)
      .map(rowOf)
      .filter((row) => row.name > after && (service === undefined || row.service === service));
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    return {
      tools: shown,
      ...(last &&
        rows.length > limit && { next_cursor: encodeCursor('list_tools', { service }, [last.name]) }),
    };
  },
});

const getTool = defineTool({
  name: 'get_tool',
  title: 'Get Tool',
  description: 'Get a tool with its schemas.',
  effect: 'read',
  hints: reading,
  input: z.object({ name: nameField }),
  output: z.object({ tool: wholeTool }),
  async handler({ name }, parts: OwnParts) {
    await parts.standing.seen();
    const found = rowsOf(parts).find(([, tool]) => tool.name === name);
    if (!found) throw noTool(name, parts);
    const { inputSchema, outputSchema } = found[1];
    return {
      tool: {
        ...rowOf(found),
        input_schema: inputSchema as Record<string, unknown>,
        ...(outputSchema !== undefined && { output_schema: outputSchema as Record<string, unknown> }),
      },
    };
  },
});

function noTool(name: string, { standing, caller }: OwnParts): ToolError {
  const route = standing.routes.tool(name);
  const isHidden = route && mayUse(caller, choosable(route.behind, name));
  const hint = isHidden
    ? `It needs the scope ${route.behind.name}:${route.effect}.`
    : 'GET /api/v1/tools lists those that this token may call.';
  return new ToolError('not_found', `There is no tool "${name.slice(0, 100)}" for this token.`, { hint });
}

const serviceState = z.object({
  name: z.string().describe('Its name.'),
  status: z.string().describe('up or down.'),
  reason: z.string().optional().describe('Why it is down.'),
  tools: z.int().describe('Tools that it has.'),
});

const getSystemStatus = defineTool({
  name: 'get_system_status',
  title: 'Get System Status',
  description: 'See which version this is, and which services can be called.',
  effect: 'read',
  hints: reading,
  input: z.object({}),
  output: z.object({
    status: z.enum(['operational', 'degraded']).describe('degraded where a service cannot be called.'),
    version: z.string().describe('Of the fleet.'),
    api_version: z.string().describe('Of this interface.'),
    interfaces: z.array(z.string()).describe('How the fleet can be spoken to here.'),
    services: z.array(serviceState).describe('The services of the fleet.'),
    servers_of_others: z.int().describe('Servers that are mounted beside them.'),
  }),
  async handler(_args, { standing }: OwnParts) {
    await standing.seen();
    const services = standing.states() as z.input<typeof serviceState>[];
    const isWhole = services.every(({ status }) => status === 'up');
    return {
      status: isWhole ? ('operational' as const) : ('degraded' as const),
      version,
      api_version: 'v1',
      interfaces: ['mcp', 'rest', 'sse', 'websocket', 'grpc'],
      services,
      servers_of_others: standing.all.length - standing.upstreams.length,
    };
  },
});

const schemaOut = z.object({
  name: z.string().describe('Its name.'),
  version: z.int().describe('Grows with each change.'),
  owner: z.string().describe('The token that registered it; empty for those that come with the fleet.'),
  describes: z.string().describe('What it is the form of.'),
  schema: z.record(z.string(), z.unknown()).describe('JSON Schema, of the draft 2020-12.'),
  registered_at: z.string().describe('When.'),
});

const listSchemas = defineTool({
  name: 'list_schemas',
  title: 'List Schemas',
  description: 'List schemas by which values can be brought into form.',
  effect: 'read',
  hints: reading,
  input: z.object({}),
  output: z.object({
    schemas: z.array(schemaOut.omit({ schema: true })).describe('The newest version of each.'),
  }),
  handler: (_args, { schemas }: OwnParts) => ({
    schemas: schemas.list().map(({ schema: _schema, ...row }) => row),
  }),
});

const getSchema = defineTool({
  name: 'get_schema',
  title: 'Get Schema',
  description: 'Get a schema.',
  effect: 'read',
  hints: reading,
  input: z.object({ name: schemaName, version: versionField }),
  output: z.object({ schema: schemaOut }),
  handler: ({ name, version: asked }, { schemas }: OwnParts) => ({ schema: schemas.get(name, asked) }),
});

const registerSchema = defineTool({
  name: 'register_schema',
  title: 'Register Schema',
  description: 'Register a schema under a name.',
  effect: 'write',
  hints: completing,
  input: z.object({
    name: schemaName,
    describes: z.string().max(500).default('').describe('What it is the form of.'),
    schema: z
      .record(z.string(), z.unknown())
      .describe(
        'JSON Schema, of the draft 2020-12, without references and patterns; up to 32,768 characters.',
      ),
  }),
  output: z.object({ schema: schemaOut, new: z.boolean().describe('Whether there was none like it.') }),
  handler(args, { schemas }: OwnParts, { caller, nowMs }) {
    const { kept, isNew } = schemas.register(args, caller, nowMs);
    return { schema: kept, new: isNew };
  },
});

const removeSchema = defineTool({
  name: 'remove_schema',
  title: 'Remove Schema',
  description: 'Remove a schema of yours, in all of its versions.',
  effect: 'write',
  hints: replacing,
  input: z.object({ name: schemaName }),
  output: z.object({ removed: z.int().describe('Versions.') }),
  handler: ({ name }, { schemas }: OwnParts, { caller }) => ({ removed: schemas.remove(name, caller) }),
});

const normalizeValue = defineTool({
  name: 'normalize_value',
  title: 'Normalize Value',
  description: 'Bring a value into the form of a schema.',
  effect: 'read',
  hints: reading,
  input: z.object({
    schema: schemaName,
    version: versionField,
    value: z.unknown().describe('The value.'),
    level: z
      .enum(levels)
      .default('strict')
      .describe(
        'strict takes only what fits; permissive reads what is written in the wrong form and can mean one thing only; loose leaves out, besides, what the schema does not know.',
      ),
  }),
  output: z.object({
    value: z
      .object({
        valid: z.boolean().describe('Whether it fits, as it is told here.'),
        value: z.unknown().describe('The value, in form where it could be brought into it.'),
        errors: envelope.shape.errors,
        warnings: envelope.shape.warnings,
        schema: z.string().describe('The schema, and its version.'),
      })
      .describe('What came of it.'),
  }),
  async handler({ schema: name, version: asked, value, level }, { schemas }: OwnParts, call) {
    const kept = schemas.get(name, asked);
    const key = `${kept.name}@${kept.version}`;
    const fitting = fitted(value, kept.schema, level);
    const { value: meant, errors: unfit, warnings } = await inTurns((step) => step(), call, fitting);
    const { errors: found } = check(`${key} ${kept.registered_at}`, kept.schema, meant);
    const errors = unfit.length > 0 ? [...unfit] : [...found];
    return {
      value: { valid: errors.length === 0, value: meant, errors, warnings: [...warnings], schema: key },
    };
  },
});

export const ownTools: ReadonlyMap<string, AnyTool<OwnParts>> = new Map(
  [
    listTools,
    getTool,
    getSystemStatus,
    listSchemas,
    getSchema,
    registerSchema,
    removeSchema,
    normalizeValue,
    listIntegrations,
    callIntegration,
  ].map((tool): [string, AnyTool<OwnParts>] => [tool.name, tool as AnyTool<OwnParts>]),
);
