/** Pressure stall information: how much of the time work waited for something. */
import { Absent, linesOf, readText, type Host } from '../host.ts';

export const resources = ['cpu', 'memory', 'io', 'irq'] as const;
export type Resource = (typeof resources)[number];

export interface Stall {
  readonly avg10Percent: number;
  readonly avg60Percent: number;
  readonly avg300Percent: number;
  readonly totalSeconds: number;
}

export interface Pressure {
  /** Some of the work waited. */
  readonly some?: Stall;
  /** All of it waited. */
  readonly full?: Stall;
}

/** @param file of the host, or of a control group. @throws Absent. */
export function readPressure(host: Host, resource: Resource, file = `/proc/pressure/${resource}`): Pressure {
  const lines = linesOf(readText(host, file)).map((line) => {
    const [kind = '', ...pairs] = line.split(' ');
    const value = new Map(pairs.map((pair) => pair.split('=') as [string, string]));
    const of = (name: string) => Number(value.get(name) ?? Number.NaN);
    const stall = {
      avg10Percent: of('avg10'),
      avg60Percent: of('avg60'),
      avg300Percent: of('avg300'),
      totalSeconds: of('total') / 1_000_000,
    };
    return [kind, stall] as const;
  });
  // For the processors of a whole host the kernel prints a "full" that it does not measure.
  const isMeasured = (kind: string) => kind !== 'full' || resource !== 'cpu' || !file.startsWith('/proc/');
  return Object.fromEntries(lines.filter(([kind]) => isMeasured(kind)));
}

const offRemedy = 'Start the kernel with psi=1; it needs CONFIG_PSI (Linux 4.20 and newer).';

/** The same with a remedy where the kernel has none of it. @throws Absent. */
export function readHostPressure(host: Host, resource: Resource): Pressure {
  try {
    return readPressure(host, resource);
  } catch (error) {
    if (!(error instanceof Absent)) throw error;
    if (resource === 'irq')
      throw new Absent('only Linux 6.1 and newer tell it, where interrupt times are counted');
    throw new Absent(error.message, offRemedy);
  }
}
