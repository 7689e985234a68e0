/** `try-disk.ts FOLDER`, in mounts of its own: whether disks can be made and cut off here. */
import { Disk } from './disk.ts';

const disk = new Disk(process.argv[2] ?? '');
await disk.cutPower();
await disk.unmount();
disk.mount();
process.exit(0);
