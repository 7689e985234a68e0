/** What a process has computed, from the kernel's account of it. */
import { readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second towards programs, whatever its clock (USER_HZ). */
const ticksPerSecond = 100;

/** User and system time of all threads of a process, in seconds; proc(5), fields 14 and 15 of stat. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, which may hold spaces, ends with the last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}
