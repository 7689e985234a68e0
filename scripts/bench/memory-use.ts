import { readFileSync } from 'node:fs';

/**
 * The proportional set size of a process in megabytes: its own pages, and its share of those that others map too, so that
 * the sizes of several processes add up.
 */
export function proportionalSetMb(pid: number): number {
  const kib = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
  return (Number(kib) * 1024) / 1e6;
}

export const pssMethod =
  'Memory is the proportional set size in /proc/PID/smaps_rollup, in MB (10^6 bytes): pages that several processes map count in parts.';
