/** `server.json`: how the registry of MCP servers lists the fleet's bridge. */
import { createHash } from 'node:crypto';

import { version } from '#runtime/process/version.ts';

import { bundle, bundleName, summary, usualUrl } from '../bundle.ts';

const releases = 'https://github.com/flotilla-fleet/flotilla/releases/download';

export function serverJson(mcpName: string): string {
  const entry = {
    $schema: 'https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json',
    name: mcpName,
    title: 'Flotilla',
    description: summary,
    version,
    packages: [
      {
        registryType: 'mcpb',
        identifier: `${releases}/v${version}/${bundleName}`,
        fileSha256: createHash('sha256').update(bundle()).digest('hex'),
        transport: { type: 'stdio' },
        environmentVariables: [
          { name: 'FLOTILLA_URL', description: 'Where the fleet answers.', default: usualUrl },
          {
            name: 'FLOTILLA_TOKEN',
            description: 'A token of the fleet, or the path of a file that holds it.',
            isRequired: true,
            isSecret: true,
          },
        ],
      },
    ],
  };
  return `${JSON.stringify(entry, null, 2)}\n`;
}
