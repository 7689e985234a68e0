/** `flotilla call SERVICE TOOL JSON`: a tool from a shell, through the same door as every client. */
import { text } from 'node:stream/consumers';

import { exitCodes, UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { connectTo } from '../client.ts';
import { table } from '../table.ts';

export async function call(
  service: string,
  tool: string | undefined,
  given: string,
  options: { readonly timeout: number },
  environment: Environment,
): Promise<void> {
  const args = await parseArguments(given);
  const timeoutMs = options.timeout * 1000;
  await using client = await connectTo(service, parseHostSettings(environment), timeoutMs);
  if (tool === undefined) {
    const { tools } = await client.listTools();
    process.stdout.write(
      table(
        ['tool', 'for'],
        tools.map(({ name, description = '' }) => [name, firstSentence(description)]),
      ),
    );
    return;
  }
  const answered = client.callTool(
    { name: tool, arguments: args },
    {
      timeout: timeoutMs,
      onprogress: ({ progress, total, message }) => {
        process.stderr.write(
          `${progress}${total === undefined ? '' : ` of ${total}`}${message === undefined ? '' : ` ${message}`}\n`,
        );
      },
    },
  );
  const result = await answered.catch((error: unknown) => {
    // The protocol's own refusals, such as of a tool that is none, are said to whoever called.
    if (error instanceof Error && 'code' in error)
      return {
        isError: true,
        content: [{ type: 'text' as const, text: error.message }],
        structuredContent: undefined,
      };
    throw error;
  });
  const said = result.content
    .map((block) => (block.type === 'text' ? block.text : JSON.stringify(block)))
    .join('\n');
  if (result.isError) {
    process.stderr.write(`${said}\n`);
    process.exitCode = exitCodes.failed;
  } else {
    process.stdout.write(
      `${result.structuredContent === undefined ? said : JSON.stringify(result.structuredContent, null, 2)}\n`,
    );
  }
}

function firstSentence(text: string): string {
  return /^.*?\.(?=\s|$)/s.exec(text)?.[0] ?? text;
}

async function parseArguments(given: string): Promise<Record<string, unknown>> {
  const source = given === '-' ? await text(process.stdin) : given;
  try {
    const value: unknown = JSON.parse(source);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new UsageError(`The arguments must be a JSON object, such as '{"query":"tea"}'.`);
}
