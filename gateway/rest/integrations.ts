/** Platforms outside, as the servers of others that are mounted speak to them. */
import { z } from 'zod';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import { adding, reading } from '#runtime/hints.ts';
import { RpcError } from '#runtime/service.ts';
import { defineTool } from '#runtime/tool.ts';

import type { ForeignBehind } from '../foreign/server.ts';
import { listOf } from '../lists.ts';
import type { ToolResult } from './answering.ts';
import type { OwnParts } from './own-tools.ts';

interface Integration {
  readonly behind: ForeignBehind;
  readonly operations: readonly {
    /** As the server calls it. */
    readonly operation: string;
    readonly tool: string;
    readonly description: string;
  }[];
}

/** Those of which the caller may use anything. */
function integrationsOf({ standing, caller }: OwnParts): readonly Integration[] {
  return standing.all.flatMap((behind) => {
    if (!('server' in behind)) return [];
    const names = behind.server.toolNames;
    const operations = listOf('tools', [behind], caller, undefined).map(({ name, description = '' }) => ({
      operation: names.get(name) ?? name,
      tool: name,
      description,
    }));
    return operations.length > 0 ? [{ behind, operations }] : [];
  });
}

const integrationRow = z.object({
  platform: z.string().describe('The name under which the server is mounted.'),
  status: z
    .enum(['healthy', 'degraded', 'down'])
    .describe('degraded where definitions have changed and are held back.'),
  reason: z.string().optional().describe('Why it is not healthy.'),
  operations: z
    .array(
      z.object({
        operation: z.string().describe('What is asked for.'),
        tool: z.string().describe('The tool that does it.'),
        description: z.string().describe('What it is for.'),
      }),
    )
    .describe('What the token may ask it for.'),
});

function rowOf({
  behind: { name, server, trouble },
  operations,
}: Integration): z.input<typeof integrationRow> {
  const held = server.held.length;
  const reason =
    trouble ?? (held > 0 ? `${held} of its definitions have changed, and are held back` : undefined);
  const status = trouble !== undefined ? 'down' : held > 0 ? 'degraded' : 'healthy';
  return { platform: name, status, ...(reason !== undefined && { reason }), operations: [...operations] };
}

export const listIntegrations = defineTool({
  name: 'list_integrations',
  title: 'List Integrations',
  description: 'List the platforms outside that can be asked: the servers of others that are mounted.',
  effect: 'read',
  hints: reading,
  input: z.object({
    active_only: z.boolean().default(false).describe('Only those that can be asked now.'),
  }),
  output: z.object({ integrations: z.array(integrationRow).describe('By their names.') }),
  handler: ({ active_only: isActive }, parts: OwnParts) => ({
    integrations: integrationsOf(parts)
      .map(rowOf)
      .filter(({ status }) => !isActive || status !== 'down')
      .toSorted((one, other) => (one.platform < other.platform ? -1 : 1)),
  }),
});

export const callIntegration = defineTool({
  name: 'call_integration',
  title: 'Call Integration',
  description: 'Ask a platform outside.',
  // What it calls has an effect and an account of its own.
  effect: 'read',
  untrusted: 'bounded',
  hints: { ...adding, openWorld: true },
  input: z.object({
    platform: z.string().min(1).max(100).describe('As the list tells it, such as slack.'),
    service: z.string().min(1).max(100).optional().describe('A service of the platform, such as ec2.'),
    operation: z.string().min(1).max(200).describe('What is asked for, such as send_message.'),
    parameters: z.record(z.string(), z.unknown()).default({}).describe('What it takes.'),
  }),
  output: z.object({ result: z.record(z.string(), z.unknown()).describe('What it answers.') }),
  async handler({ platform, service, operation, parameters }, parts: OwnParts) {
    const found = integrationsOf(parts).find(({ behind }) => behind.name === platform);
    if (!found)
      throw new ToolError('not_found', `There is no integration "${platform}" for this token.`, {
        hint: 'GET /api/v1/integrations, or ListIntegrations, tells those there are. A server that speaks to the platform becomes one: flotilla upstream add --help.',
      });
    const names = service === undefined ? [operation] : [`${service}_${operation}`, operation];
    const meant = names.flatMap((name) =>
      found.operations.filter((one) => one.operation === name || one.tool === name),
    )[0];
    if (!meant)
      throw new ToolError('not_found', `${platform} has no operation "${names[0]}" for this token.`, {
        hint: `It has ${found.operations
          .map((one) => one.operation)
          .join(', ')
          .slice(0, 1_000)}.`,
      });
    return { result: valueIn(await parts.call(meant.tool, parameters).catch(refused)) };
  },
});

/** @throws ToolError where the server refuses the request itself. */
function refused(error: unknown): never {
  if (!(error instanceof RpcError)) throw error;
  const isOfArguments = error.code === -32_602;
  throw new ToolError(isOfArguments ? 'invalid_input' : 'unavailable', error.message, { isUntrusted: true });
}

/** @throws ToolError as the tool that was called says it. */
function valueIn({ structuredContent, content = [], isError, _meta: meta }: ToolResult) {
  if (!isError) return { ...(structuredContent ?? { content }) };
  const { code, message, hint } = meta?.['dev.flotilla/error'] ?? {
    code: 'unavailable',
    message: JSON.stringify(content).slice(0, 2_000),
  };
  throw new ToolError(code as Exclude<ErrorCode, 'internal'>, message, {
    isUntrusted: true,
    ...(hint !== undefined && { hint }),
  });
}
