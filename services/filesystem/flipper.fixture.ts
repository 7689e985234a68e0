/** A process that swaps a folder, and a file, for links to the outside and back, as fast as it can; says how often when asked. */
import { mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

const [root = '', outside = ''] = process.argv.slice(2);
const attic = join(root, '..', 'attic');
mkdirSync(attic);
const pairs = [
  { shown: join(root, 'folder'), real: join(root, 'folder.real'), target: outside },
  { shown: join(root, 'file.txt'), real: join(root, 'file.txt.real'), target: join(outside, 'file.txt') },
];
let flips = 0;
let parked = 0;

/** What the other side has made here meanwhile goes out of the way. */
function insist(path: string, step: () => void): void {
  for (;;) {
    try {
      step();
      return;
    } catch {
      park(path);
    }
  }
}

function park(path: string): void {
  renameSync(path, join(attic, `${(parked += 1)}`));
}

function flip(): void {
  for (let round = 0; round < 20; round += 1) {
    for (const { shown, real, target } of pairs) {
      renameSync(shown, real);
      insist(shown, () => symlinkSync(target, shown));
      park(shown);
      insist(shown, () => renameSync(real, shown));
      flips += 1;
    }
  }
  setImmediate(flip);
}

process.on('message', () => process.send?.(flips));
process.on('disconnect', () => process.exit());
flip();
