/** The commands of the README and of contributors, with the Node and npm of older hosts, as the registry has them. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { isolatedEnvironment } from '../../scripts/environment.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { temporaryFolder } from '../support/serve.ts';
import { isWhole } from '../support/trials.ts';

const home = fileURLToPath(new URL('../../', import.meta.url));

const pairs = [
  { node: '20.20.2', npm: '10.9.4' },
  { node: '16.20.2', npm: '8.19.4' },
  { node: '18.20.8', npm: '9.9.4' },
  { node: '22.23.5', npm: '10.9.8' },
];

const fromCache = ['--prefer-offline', '--no-audit', '--no-fund'];

/** Without what has grown in the folder of the checkout. */
function copyCheckout(folder: string): void {
  const names = ['node_modules', '.git', '.env', 'data', 'data-backups', 'workspace'];
  const grown = new Set(names.map((name) => join(home, name)));
  cpSync(home, folder, { recursive: true, filter: (path) => !grown.has(path) });
}

test.for(isWhole ? pairs : pairs.slice(0, 1))(
  'npm $npm on Node $node installs the fleet, starts it, and runs the checks',
  async ({ node, npm }, context) => {
    using folder = temporaryFolder();
    const [old, checkout] = [join(folder.path, 'old'), join(folder.path, 'checkout')];
    mkdirSync(old);
    writeFileSync(join(old, 'package.json'), '{}');
    const program = `node-linux-${process.arch}`;
    const fetched = spawnSync('npm', ['install', ...fromCache, `${program}@${node}`, `npm@${npm}`], {
      cwd: old,
      encoding: 'utf8',
    });
    if (fetched.status !== 0) context.skip(`the registry cannot be reached: ${fetched.stderr}`);
    copyCheckout(checkout);
    const env = isolatedEnvironment({
      PATH: [join(old, 'node_modules', program, 'bin'), join(old, 'node_modules/.bin'), '/usr/bin:/bin'].join(
        delimiter,
      ),
      FLOTILLA_PORT_OFFSET: String(await freePortOffset()),
      npm_config_loglevel: 'error',
    });
    const inCheckout = (command: string) => {
      const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
        cwd: checkout,
        env,
        encoding: 'utf8',
      });
      expect(status, `${command}\n${stdout}${stderr}`).toBe(0);
      return stdout.trim();
    };

    expect(inCheckout('node --version; npm --version').split('\n')).toEqual([`v${node}`, npm]);
    inCheckout(`npm ci ${fromCache.join(' ')}${isWhole ? '' : ' --omit=dev'}`);
    const start = ['start', '--', '--only', 'memory,health'];
    const fleet = spawn('npm', start, { cwd: checkout, env, detached: true });
    const ended = once(fleet, 'exit');
    const said = text(fleet.stdout);
    const complained = text(fleet.stderr);
    fleet.stdout.on('data', (chunk: Buffer) => {
      // As Ctrl-C in a terminal does, which reaches the whole group.
      if (/Stop\s+Ctrl-C/.test(String(chunk))) process.kill(-(fleet.pid ?? 0), 'SIGINT');
    });
    await ended;

    expect(`${await said}${await complained}`).toMatch(/2 of 2 ready[^]*Stopped/);
    expect(inCheckout(`${join(checkout, 'scripts/flotilla')} doctor`)).toContain(
      `Node ${process.versions.node}`,
    );
    if (isWhole) inCheckout('npm run check');
  },
);
