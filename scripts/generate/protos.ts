/** What the compiler makes of .proto files: descriptors, as JSON, that a process reads when it starts. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = fileURLToPath(new URL('../../', import.meta.url));

/** @param folder of a module of buf. @param parts of it alone, with what they import. */
export function compiledProtos(folder: string, parts: readonly string[] = []): string {
  const only = parts.flatMap((part) => ['--path', join(folder, part)]);
  const text = execFileSync(
    join(home, 'node_modules/.bin/buf'),
    ['build', folder, ...only, '--as-file-descriptor-set', '--exclude-source-info', '-o', '-#format=json'],
    {
      cwd: home,
      encoding: 'utf8',
      env: { ...process.env, BUF_CACHE_DIR: join(home, 'node_modules/.cache/buf') },
    },
  );
  return `${JSON.stringify(JSON.parse(text), null, 1)}\n`;
}
