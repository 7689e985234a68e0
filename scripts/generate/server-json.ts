/** `server.json`: how the registry of MCP servers lists the fleet's bridge. */
import { createHash } from 'node:crypto';

import { version } from '#runtime/process/version.ts';

import { bundle, bundleName, summary, usualUrl } from '../bundle.ts';

export interface Package {
  readonly mcpName: string;
  /** As npm has it. */
  readonly repository?: string | { readonly url: string };
}

/** The bundle is named where `repository` says where releases are: no address is made up. */
export function serverJson({ mcpName, repository }: Package): string {
  const home = repository && homeOf(repository);
  const entry = {
    $schema: 'https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json',
    name: mcpName,
    title: 'Flotilla',
    description: summary,
    version,
    ...(home && { repository: { url: home, source: 'github' }, packages: packagesIn(home) }),
  };
  return `${JSON.stringify(entry, null, 2)}\n`;
}

const packagesIn = (home: string) => [
  {
    registryType: 'mcpb',
    identifier: `${home}/releases/download/v${version}/${bundleName}`,
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
];

/** Where releases are, of a repository at GitHub. @throws Error for any other: where it has them is not known. */
function homeOf(repository: NonNullable<Package['repository']>): string {
  const url = typeof repository === 'string' ? repository : repository.url;
  const [, path] = /\bgithub\.com[/:]([\w.-]+\/[\w.-]+?)(?:\.git)?$/.exec(url) ?? [];
  if (path === undefined) throw new Error(`"repository" in package.json is none at GitHub: ${url}`);
  return `https://github.com/${path}`;
}
