/** How this command line is called: by a launcher on the PATH where there is one, else by the path of its script. */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ownScript = fileURLToPath(new URL('flotilla', import.meta.url));

/** The line by which a launcher is known as ours. */
export const launcherOrigin = '# Written by Flotilla.';

/** A program for a folder on the PATH: the command line of one checkout or release, from any folder on the same data. */
export function launcherText(script: string, dataRoot: string): string {
  return `#!/bin/sh
${launcherOrigin}
[ -n "\${FLOTILLA_DATA:-}" ] || FLOTILLA_DATA="${quotedInside(dataRoot)}"
export FLOTILLA_DATA
exec "${quotedInside(script)}" "$@"
`;
}

/** What stands between double quotes in a shell. */
function quotedInside(text: string): string {
  return text.replaceAll(/[\\"$`]/g, '\\$&');
}

/** The same for a client that starts it, from whatever folder. */
export function ownProgram(path = process.env['PATH'] ?? ''): string {
  return ownLauncher(path) ?? ownScript;
}

function ownLauncher(path: string): string | undefined {
  const found = path
    .split(delimiter)
    .map((place) => resolve(place, 'flotilla'))
    .find((file) => existsSync(file));
  return found !== undefined && scriptOf(found) === realpathSync(ownScript) ? found : undefined;
}

/** For messages that name a command to run: it can be pasted as it is. */
export function ownCommand(path = process.env['PATH'] ?? '', folder = process.cwd()): string {
  if (ownLauncher(path) !== undefined) return 'flotilla';
  const way = relative(folder, ownScript);
  return way.startsWith('..') ? ownScript : way;
}

/** The script that a launcher runs; `undefined` for a file that is none of ours. */
function scriptOf(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'utf8');
    const script = /^exec "(.*)" "\$@"$/m.exec(text)?.[1]?.replaceAll(/\\([\\"$`])/g, '$1');
    return text.includes(launcherOrigin) && script !== undefined ? realpathSync(script) : undefined;
  } catch {
    return undefined;
  }
}

/** A word for a shell that holds whatever stands in it. */
export const shellWord = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
