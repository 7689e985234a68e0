/** A small ext4 disk on a loop device, for the programs that run in mounts of their own (own-mounts.ts). */
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const sizeMb = 64;

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

// _IOR('X', 125, __u32) and EXT4_GOING_FLAGS_NOLOGFLUSH: Node has no ioctl.
const shutDown = `
  open(my $disk, "<", $ARGV[0]) or die "open: $!\\n";
  my $flags = pack("L", 2);
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

  unmount(): void {
    run('umount', this.path);
  }

  /** From now on nothing reaches the device: not even what the file system holds already. */
  cutPower(): void {
    run('perl', '-e', shutDown, this.path);
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
