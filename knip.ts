/** What is unused is named by knip. */
import type { KnipConfig } from 'knip';

import { allProcesses, folderOf } from './config/catalogue.ts';

const config: KnipConfig = {
  entry: [
    'scripts/flotilla.ts',
    'scripts/serve.ts',
    'scripts/stdio/main.ts',
    'scripts/test.ts',
    'scripts/commands/*.ts',
    ...allProcesses.map((entry) => `${folderOf(entry)}/service.ts`),
    'services/*/{bench,contract.fixture}.ts',
    'scripts/bench/rungs/*.ts',
    'examples/*/{run,lead,writer,coder}.ts',
    'tests/faults/{full-disk,power-cut,try-disk}.ts',
    'tests/faults/{health-figures,hub-agent,shifted-clock,synchronous-off}.ts',
    'tests/support/inside/*.ts',
  ],
  project: ['**/*.ts'],
  ignoreExportsUsedInFile: true,
  ignoreDependencies: [
    '@flotilla-fleet/local-postgres',
    // Started by its path.
    '@bufbuild/buf',
    // Read by its path, for browsers.
    'uplot',
    // Used by a client that a test makes.
    'openapi-fetch',
    // Started by their paths.
    '@modelcontextprotocol/server-everything',
    '@modelcontextprotocol/server-memory',
    'oxfmt',
    'oxlint',
    'oxlint-tsgolint',
  ],
  ignoreBinaries: [
    'getent',
    'groupdel',
    'ip',
    'journalctl',
    'mkfifo',
    'nsenter',
    'openssl',
    'perl',
    'pgrep',
    'promtool',
    'redis-cli',
    'redis-server',
    'setpriv',
    'systemd-sysusers',
    'taskset',
    'unshare',
    'userdel',
  ],
};

export default config;
