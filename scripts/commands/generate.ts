/** `flotilla generate`: writes every file that follows from the catalogue and the services, or says which are not current. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { exitCodes } from '#runtime/errors.ts';

import { generatedFiles } from '../generate/files.ts';

const home = fileURLToPath(new URL('../../', import.meta.url));

export async function generate({ check }: { readonly check?: boolean }): Promise<void> {
  const stale = await staleFiles();
  for (const [path, contents] of stale) {
    process.stdout.write(`${check ? 'not current' : 'written'}: ${path}\n`);
    if (check) {
      process.exitCode = exitCodes.failed;
    } else {
      mkdirSync(dirname(join(home, path)), { recursive: true });
      writeFileSync(join(home, path), contents);
    }
  }
  if (stale.size === 0) process.stdout.write('All generated files are current.\n');
  else if (check) process.stdout.write('Run: npm run generate\n');
}

/** Path and due contents of every generated file that is missing or differs. */
export async function staleFiles(): Promise<Map<string, string>> {
  const files = await generatedFiles((path) =>
    existsSync(join(home, path)) ? readFileSync(join(home, path), 'utf8') : '',
  );
  return new Map(
    [...files].filter(
      ([path, contents]) =>
        !existsSync(join(home, path)) || readFileSync(join(home, path), 'utf8') !== contents,
    ),
  );
}
