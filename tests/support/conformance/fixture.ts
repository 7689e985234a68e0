/** What the fixture's tools have in common: they show the protocol, and say nothing of their own. */
import type { ServerContext } from '@modelcontextprotocol/server';
import { z } from 'zod';

import type { Protocol } from '#runtime/wire/mcp.ts';
import {
  defineTool,
  type ProtocolResult,
  Reply,
  type AnyTool,
  type Call,
  type ContentBlock,
} from '#runtime/tool.ts';

export type Answer = Reply<Record<string, never>> | ProtocolResult;

/** A 1x1 PNG and an empty WAV. */
export const pngBase64 =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
export const wavBase64 = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=';

/** A tool that only answers; its name is the suite's. */
export function contentTool(
  name: string,
  answer: (call: Call, args: Readonly<Record<string, string>>) => Answer | Promise<Answer>,
  input: z.ZodObject = z.object({}),
): AnyTool<unknown> {
  return defineTool({
    name,
    title: name,
    description: 'A fixture of the official conformance suite.',
    effect: 'read',
    hints: { readOnly: true, destructive: false, idempotent: true, openWorld: false },
    input,
    output: z.object({}),
    handler: async (args, _deps, call) => answer(call, args as Record<string, string>),
  });
}

/** A tool that speaks MCP itself. */
export function fixtureTool(...tool: Parameters<typeof contentTool>): AnyTool<unknown> {
  return { ...contentTool(...tool), asksBack: true };
}

export function content(...blocks: readonly ContentBlock[]): Reply<Record<string, never>> {
  return new Reply({}, { content: blocks });
}

export function text(words: string): Reply<Record<string, never>> {
  return content({ type: 'text', text: words });
}

export function protocolOf(call: Call): Protocol {
  return call.protocol as Protocol;
}

export function requestOf(call: Call): ServerContext['mcpReq'] {
  return protocolOf(call).context.mcpReq;
}
