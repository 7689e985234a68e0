/** `flotilla bundle`: the bridge as a file that desktop clients install. */
import { resolve } from 'node:path';

import { writeFileAtomic } from '#runtime/files.ts';

import { bundle as made, bundleName } from '../bundle.ts';

export function bundle({ to }: { readonly to?: string }): void {
  const file = resolve(to ?? bundleName);
  writeFileAtomic(file, made(), 0o644);
  process.stdout.write(`${file}\nOpen it with the client, and give it the token: see docs/clients.md.\n`);
}
