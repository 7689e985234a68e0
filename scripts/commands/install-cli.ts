/** `flotilla install-cli`: a launcher in the user's own folder of programs, so that `flotilla` works from anywhere. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ConfigError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { whyUnreachable } from '../reach.ts';
import { launcherOrigin, launcherText } from '../own-command.ts';

const script = fileURLToPath(new URL('../flotilla', import.meta.url));

export function installCli({ to }: { readonly to?: string }, environment: Environment): void {
  const folder = resolve(to ?? join(homedir(), '.local', 'bin'));
  const file = join(folder, 'flotilla');
  if (existsSync(file) && !readFileSync(file, 'utf8').includes(launcherOrigin)) {
    throw new ConfigError(`${file} is another program: move it away, or name another folder with --to.`);
  }
  const dataRoot = resolve(parseHostSettings(environment).FLOTILLA_DATA);
  try {
    writeFileAtomic(file, launcherText(script, dataRoot), 0o755);
  } catch (cause) {
    const why =
      whyUnreachable(cause) ?? `${file} cannot be written (${(cause as NodeJS.ErrnoException).code}).`;
    throw new ConfigError(`${why} Name another folder with --to.`, { cause });
  }
  process.stdout.write(`${file} runs ${script} on the data in ${dataRoot}.\n`);
  if (!(environment['PATH'] ?? '').split(delimiter).includes(folder)) {
    process.stdout.write(`It is not on your PATH: echo 'export PATH="${folder}:$PATH"' >> ~/.profile\n`);
  }
}
