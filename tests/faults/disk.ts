/** A small ext4 disk on a loop device, for the programs that run in mounts of their own (own-mounts.ts). */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const sizeMb = 64;

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

// _IOR('X', 125, __u32) and EXT4_GOING_FLAGS_NOLOGFLUSH: Node has no ioctl.
const shutDown = `
  open(my $disk, "<", $ARGV[0]) or die "open: $!\\n";
  my $flags = pack("L", 2);
  syswrite(STDOUT, "ready");
  <STDIN>;
  ioctl($disk, 0x8004587D, $flags) or die "ioctl: $!\\n";
`;

export class Disk {
  readonly path: string;
  readonly #image: string;
  readonly #ballast: string;

  /** An empty one. The folder becomes a tmpfs, so that all of it is gone with the mounts. */
  constructor(folder: string) {
    this.path = join(folder, 'disk');
    this.#image = join(folder, 'image');
    this.#ballast = join(this.path, 'ballast');
    run('mount', '-t', 'tmpfs', '-o', `size=${sizeMb + 16}m`, 'tmpfs', folder);
    mkdirSync(this.path);
    run('truncate', '-s', `${sizeMb}M`, this.#image);
    // Root has no more room there than others.
    run('mkfs.ext4', '-q', '-F', '-m', '0', this.#image);
    this.mount();
  }

  mount(): void {
    run('mount', '-o', 'loop', this.#image, this.path);
  }

  /** The kernel may be busy for a moment with what a killed process had open. */
  async unmount(): Promise<void> {
    for (let tries = 40; ; tries -= 1) {
      try {
        run('umount', this.path);
        return;
      } catch (error) {
        if (tries === 0) throw error;
        await sleep(50);
      }
    }
  }

  /**
   * From now on nothing reaches the device: not even what the file system holds already. Not all calls fail in the very moment,
   * as they would at a real cut: a sync that runs then may succeed and be lost. So `atLast` is called just before.
   */
  async cutPower(atLast: () => void = () => {}): Promise<void> {
    const perl = spawn('perl', ['-e', shutDown, this.path], { stdio: ['pipe', 'pipe', 'inherit'] });
    const closed = once(perl, 'close') as Promise<[number | null]>;
    await Promise.race([once(perl.stdout, 'data'), closed]);
    atLast();
    perl.stdin.end('\n');
    const [code] = await closed;
    if (code !== 0) throw new Error('The power could not be cut.');
  }

  fill(): void {
    const file = openSync(this.#ballast, 'a');
    // What ext4 holds back for what it has not written yet is free again after a sync.
    for (const pieceBytes of [1_048_576, 4_096, 512, 4_096, 512]) {
      try {
        for (;;) writeSync(file, Buffer.alloc(pieceBytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
      fsyncSync(file);
    }
    closeSync(file);
  }

  free(): void {
    rmSync(this.#ballast);
  }
}
