/** What is mounted where, as this process sees it. */
import { linesOf, readText, type Host } from '../host.ts';

export interface Mount {
  /** `major:minor` of what is mounted. */
  readonly device: string;
  /** Which part of it. */
  readonly root: string;
  readonly target: string;
  readonly fstype: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** @throws Absent. */
export function readMounts(host: Host): Mount[] {
  return linesOf(readText(host, '/proc/self/mountinfo')).flatMap((line) => {
    const [front = '', back = ''] = line.split(' - ');
    const [, , device, root, target, ownOptions] = front.split(' ');
    const [fstype, source, options] = back.split(' ');
    if (device === undefined || root === undefined || target === undefined || fstype === undefined) return [];
    return {
      device,
      root: unescaped(root),
      target: unescaped(target),
      fstype,
      source: unescaped(source ?? ''),
      options: [...(ownOptions ?? '').split(','), ...(options ?? '').split(',')],
    };
  });
}

/** Blanks, tabs, line ends and backslashes stand there as octal numbers. */
const unescaped = (text: string) =>
  text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
