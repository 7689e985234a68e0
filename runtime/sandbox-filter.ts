/**
 * What a program in a sandbox may not ask of the kernel, as a program for seccomp: namespaces and mounts of its own,
 * other processes' memory, keys, and the parts of the kernel that broke most often; and, without a network, sockets.
 */
import { constants } from 'node:os';

/** Numbers of system calls: of x64, and of arm64. Those above 423 are the same everywhere. */
const forbidden: Readonly<Record<string, readonly [x64: number, arm64?: number]>> = {
  acct: [163, 89],
  add_key: [248, 217],
  adjtimex: [159, 171],
  bpf: [321, 280],
  chroot: [161, 51],
  clock_settime: [227, 112],
  delete_module: [176, 106],
  fanotify_init: [300, 262],
  finit_module: [313, 273],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fsopen: [430, 430],
  init_module: [175, 105],
  // What they hold is the user's, of whom all sandboxes have one: each could use up the share of the others.
  inotify_init: [253],
  inotify_init1: [294, 26],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  io_uring_setup: [425, 425],
  kcmp: [312, 272],
  kexec_load: [246, 104],
  keyctl: [250, 219],
  mbind: [237, 235],
  // Memory that no limit counts: of files without a folder, and of System V.
  memfd_create: [319, 279],
  memfd_secret: [447, 447],
  mount: [165, 40],
  mount_setattr: [442, 442],
  move_mount: [429, 429],
  move_pages: [279, 239],
  mq_open: [240, 180],
  msgget: [68, 186],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  open_tree: [428, 428],
  perf_event_open: [298, 241],
  personality: [135, 92],
  pidfd_getfd: [438, 438],
  pivot_root: [155, 41],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  ptrace: [101, 117],
  quotactl: [179, 60],
  request_key: [249, 218],
  semget: [64, 190],
  setns: [308, 268],
  shmget: [29, 194],
  settimeofday: [164, 170],
  swapon: [167, 224],
  syslog: [103, 116],
  umount2: [166, 39],
  unshare: [272, 97],
  userfaultfd: [323, 282],
  // Pages that only a pipe holds are counted for nobody.
  vmsplice: [278, 75],
};

/** A socket of a pair could still be pointed at another one by its path: so no addresses either. */
const sockets: typeof forbidden = {
  bind: [49, 200],
  connect: [42, 203],
  sendmmsg: [307, 269],
  sendmsg: [46, 211],
  socket: [41, 198],
};

const clone = [56, 220] as const;
const clone3 = 435;
const fcntl = [72, 25] as const;
const ioctl = [16, 29] as const;
const mmap = [9, 222] as const;
const sendto = [44, 206] as const;
const setsockopt = [54, 208] as const;

const architectures = {
  x64: { column: 0, audit: 0xc0_00_00_3e },
  arm64: { column: 1, audit: 0xc0_00_00_b7 },
};

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const newNamespaces = 0x7e_02_00_00;
/** Of the ABI x32, which has other numbers for the same calls. */
const x32 = 0x40_00_00_00;
/** TIOCSTI and TIOCLINUX put words into the terminal of whoever started this. */
const terminalWrites = [0x54_12, 0x54_1c];

/** Pipes that are made larger: their pages are the user's too. */
const setPipeSize = 1031;

/** MAP_HUGETLB: pages that the host has set aside for others. */
const hugePages = 0x4_00_00;
/** MAP_ANONYMOUS and MAP_SHARED together: memory without a file, which is there also where no process has it mapped. */
const anonymous = 0x20;
const shared = 0x01;

/** Of SOL_SOCKET, SO_SNDBUF and SO_SNDBUFFORCE: what waits in sockets is memory of the kernel. */
const socketLevel = 1;
const bufferSizes = { own: 7, forced: 32 };

/** Offsets in seccomp_data. */
const at = { number: 0, architecture: 4, argument: (index: number) => 16 + 8 * index };

/** Instructions of classic BPF, and what the kernel does with what they return. */
const load = 0x20;
const jumpIfEqual = 0x15;
const jumpIfAtLeast = 0x35;
const jumpIfAnySet = 0x45;
const answer = 0x06;
const allow = 0x7f_ff_00_00;
const kill = 0x80_00_00_00;
const refuse = (errno: number) => 0x00_05_00_00 | errno;

type Instruction = readonly [code: number, value: number, skipIfTrue?: number, skipIfFalse?: number];

/** @returns the program in the bytes that bubblewrap takes; `undefined` for a processor that we have no numbers for. */
export function systemCallFilter(network: boolean, processor: string = process.arch): Buffer | undefined {
  const known = architectures[processor as keyof typeof architectures] as
    | (typeof architectures)['x64']
    | undefined;
  if (!known) return undefined;
  const { column, audit } = known;
  const { EPERM, ENOSYS } = constants.errno;
  const numbers = Object.values({ ...forbidden, ...(!network && sockets) }).flatMap(
    (pair) => pair[column] ?? [],
  );
  const no: Instruction = [answer, refuse(EPERM)];
  const yes: Instruction = [answer, allow];
  const program: Instruction[] = [
    [load, at.architecture],
    [jumpIfEqual, audit, 1],
    [answer, kill],
    [load, at.number],
    [jumpIfAtLeast, x32, 0, 1],
    no,
    ...numbers.flatMap((number): Instruction[] => [[jumpIfEqual, number, 0, 1], no]),
    // The C library goes on with clone, whose flags can be looked at.
    [jumpIfEqual, clone3, 0, 1],
    [answer, refuse(ENOSYS)],
    [jumpIfEqual, clone[column] ?? 0, 0, 4],
    [load, at.argument(0)],
    [jumpIfAnySet, newNamespaces, 0, 1],
    no,
    yes,
    [jumpIfEqual, fcntl[column] ?? 0, 0, 4],
    [load, at.argument(1)],
    [jumpIfEqual, setPipeSize, 0, 1],
    no,
    yes,
    [jumpIfEqual, mmap[column] ?? 0, 0, 6],
    [load, at.argument(3)],
    [jumpIfAnySet, hugePages, 2, 0],
    [jumpIfAnySet, anonymous, 0, 2],
    [jumpIfAnySet, shared, 0, 1],
    no,
    yes,
    ...(network
      ? []
      : ([
          [jumpIfEqual, setsockopt[column] ?? 0, 0, 7],
          [load, at.argument(1)],
          [jumpIfEqual, socketLevel, 0, 4],
          [load, at.argument(2)],
          [jumpIfEqual, bufferSizes.own, 1],
          [jumpIfEqual, bufferSizes.forced, 0, 1],
          no,
          yes,
        ] satisfies Instruction[])),
    [jumpIfEqual, ioctl[column] ?? 0, 0, 4],
    [load, at.argument(1)],
    ...terminalWrites.map((request, index): Instruction => [
      jumpIfEqual,
      request,
      terminalWrites.length - 1 - index,
      index === terminalWrites.length - 1 ? 1 : 0,
    ]),
    no,
    ...(network
      ? []
      : ([
          [load, at.number],
          [jumpIfEqual, sendto[column] ?? 0, 0, 5],
          [load, at.argument(4)],
          [jumpIfEqual, 0, 0, 2],
          [load, at.argument(4) + 4],
          [jumpIfEqual, 0, 1, 0],
          no,
        ] satisfies Instruction[])),
    yes,
  ];
  const bytes = Buffer.alloc(8 * program.length);
  for (const [index, [code, value, skipIfTrue = 0, skipIfFalse = 0]] of program.entries()) {
    bytes.writeUInt16LE(code, 8 * index);
    bytes.writeUInt8(skipIfTrue, 8 * index + 2);
    bytes.writeUInt8(skipIfFalse, 8 * index + 3);
    bytes.writeUInt32LE(value >>> 0, 8 * index + 4);
  }
  return bytes;
}
