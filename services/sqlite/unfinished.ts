/** Files that are being written under a temporary name: what an engine or the service leaves of them when it is killed is removed. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The file, and what SQLite puts beside one that is a database. */
const endings = ['', '-journal', '-wal', '-shm'];

/** As the service for files names what is not finished: it lists none of them. */
const temporaryName = () => `.flotilla-${randomBytes(6).toString('hex')}.tmp`;

/** @param folder of this service, with a note of each: its name is the temporary one, and what stands in it the folder. */
export function openUnfinished(folder: string) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    const note = join(folder, name);
    try {
      const home = readFileSync(note, 'utf8');
      if (home !== '') for (const end of endings) rmSync(join(home, name) + end, { force: true });
      rmSync(note);
    } catch {
      // Its disk may be there when the service starts the next time.
    }
  }
  return async <Value>(path: string, write: (temporary: string) => Promise<Value>): Promise<Value> => {
    const name = temporaryName();
    const home = dirname(path);
    await writeFile(join(folder, name), home, { flush: true, mode: 0o600 });
    try {
      return await write(name);
    } finally {
      // Its engine took it away, unless it was killed.
      for (const end of endings) await rm(join(home, name) + end, { force: true }).catch(() => {});
      await rm(join(folder, name), { force: true });
    }
  };
}
