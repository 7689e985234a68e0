/** The tools of Supabase's own server, which runs in this process: for projects that Supabase hosts. */
import { Client, InMemoryTransport } from '@modelcontextprotocol/client';
import { createSupabaseMcpServer, createToolSchemas, type FeatureGroup } from '@supabase/mcp-server-supabase';
import { createSupabaseApiPlatform } from '@supabase/mcp-server-supabase/platform/api';
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { Reply, type AnyTool, type Effect } from '#runtime/tool.ts';

export interface ManagementSettings {
  readonly accessToken: string;
  readonly projectRef: string | undefined;
  readonly isReadOnly: boolean;
  readonly apiUrl: string | undefined;
  readonly features: readonly string[];
}

/** Deployments and new branches take their time. */
const timeoutMs = 120_000;
/** About 20,000 tokens; clients cut or refuse what is longer. */
const maxAnswerLength = 90_000;
/** Asks the network for its own description already when it is listed: it gets a server of its own, when it is called. */
const docs = 'docs';
const docsDescription =
  'Search Supabase\'s documentation with a GraphQL query such as { searchDocs(query: "row level security", limit: 3) { nodes { title href content } } }.';

interface Definition {
  readonly inputSchema: z.ZodObject;
  readonly outputSchema: z.ZodObject;
  readonly annotations: Annotations;
}

interface Annotations {
  readonly title?: string | undefined;
  readonly readOnlyHint?: boolean | undefined;
  readonly destructiveHint?: boolean | undefined;
  readonly idempotentHint?: boolean | undefined;
  readonly openWorldHint?: boolean | undefined;
}

/** All that this access token may use, but for the names that are taken. Nothing is asked of the network. */
export async function mountManagement(
  settings: ManagementSettings,
  taken: ReadonlySet<string>,
): Promise<readonly AnyTool<unknown>[]> {
  const chosen = settings.features as readonly FeatureGroup[];
  const others = chosen.filter((feature) => feature !== docs);
  const client = await clientOf(settings, others);
  let docsClient: Promise<Client> | undefined;
  const { tools: listed } = others.length === 0 ? { tools: [] } : await client.listTools();
  const definitions = createToolSchemas({
    features: [...chosen],
    projectScoped: settings.projectRef !== undefined,
    readOnly: settings.isReadOnly,
  }) as unknown as Readonly<Record<string, Definition>>;

  return Object.entries(definitions).flatMap(([name, definition]) => {
    const told = listed.find((tool) => tool.name === name);
    const isDocs = name === 'search_docs';
    if (taken.has(name) || (!told && !isDocs)) return [];
    return toolOf(name, definition, {
      description: told?.description ?? docsDescription,
      annotations: told?.annotations ?? definition.annotations,
      secret: settings.accessToken,
      client: isDocs ? () => (docsClient ??= clientOf(settings, [docs])) : () => Promise.resolve(client),
    });
  });
}

function toolOf(
  name: string,
  { inputSchema, outputSchema }: Definition,
  {
    description,
    annotations,
    secret,
    client,
  }: {
    readonly description: string;
    readonly annotations: Annotations;
    readonly secret: string;
    readonly client: () => Promise<Client>;
  },
): AnyTool<unknown> {
  const effect: Effect = annotations.readOnlyHint
    ? 'read'
    : annotations.destructiveHint
      ? 'destroy'
      : 'write';
  return {
    name,
    title: annotations.title ?? name,
    description,
    effect,
    untrusted: 'bounded',
    timeoutMs,
    hints: {
      readOnly: effect === 'read',
      destructive: effect === 'destroy',
      idempotent: annotations.idempotentHint ?? false,
      openWorld: true,
    },
    input: inputSchema,
    output: outputSchema,

    async handler(args, _deps, call) {
      const connected = await client();
      const result = await connected.callTool(
        { name, arguments: args as Record<string, unknown> },
        { signal: call.signal, timeout: timeoutMs },
      );
      const text = (result.content as readonly { readonly text?: string }[])
        .map((block) => block.text ?? '')
        .join('\n')
        .replaceAll(secret, '[token]');
      if (result.isError) throw failureOf(text);
      if (text.length > maxAnswerLength) {
        throw new ToolError(
          'too_large',
          `The answer has ${text.length} characters, and may have ${maxAnswerLength}.`,
          {
            hint: 'Ask for less.',
          },
        );
      }
      return new Reply(JSON.parse(text) as Record<string, unknown>);
    },
  };
}

async function clientOf(
  { accessToken, apiUrl, projectRef, isReadOnly }: ManagementSettings,
  features: readonly string[],
): Promise<Client> {
  const server = createSupabaseMcpServer({
    platform: createSupabaseApiPlatform({ accessToken, ...(apiUrl !== undefined && { apiUrl }) }),
    readOnly: isReadOnly,
    features: [...features],
    ...(projectRef !== undefined && { projectId: projectRef }),
  });
  const [ours, theirs] = InMemoryTransport.createLinkedPair();
  const client = new Client({ name: 'flotilla-supabase', version: '1' });
  await server.connect(theirs);
  await client.connect(ours);
  return client;
}

const failureForm = z.object({ error: z.object({ message: z.string() }) });

/** Its failures are a text with a message, and nothing that tells one kind from another. */
function failureOf(text: string): ToolError {
  let message = text;
  try {
    message = failureForm.parse(JSON.parse(text)).error.message;
  } catch {
    // Then it is the message itself.
  }
  const said = message.slice(0, 600);
  if (/unauthorized|jwt|token/i.test(said)) {
    const hint = 'The operator looks at FLOTILLA_SUPABASE_ACCESS_TOKEN.';
    return new ToolError('forbidden', `Supabase refuses this: ${said}`, { hint, isUntrusted: true });
  }
  return new ToolError('unavailable', `Supabase does not do this: ${said}`, {
    hint: 'Look at the arguments, then try again.',
    isUntrusted: true,
  });
}
