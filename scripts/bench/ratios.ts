/** The ladder's ratios alone: for a gate, which must not compare times. */
import { climb, medianRatio } from './climb.ts';
import { rungs, variants } from './rungs.ts';

export interface Ratios {
  readonly ofBare: number;
  readonly ofSdk: number;
}

/** What the gate compares. */
type GateRung = 'bare' | 'sdk' | 'flotilla' | 'longWay';

/** Takes some 15 s. @throws Error when a call fails. */
export async function measureRatios(): Promise<Readonly<Record<GateRung, Ratios>>> {
  const names: readonly string[] = ['bare', 'sdk', 'flotilla', 'longWay'] satisfies readonly GateRung[];
  const climbed = [...rungs, ...variants].filter(({ name }) => names.includes(name));
  const measured = await climb(climbed, { rounds: 3, seconds: 0.5, warmUpSeconds: 1 }, () => {});
  for (const { rung, rounds } of measured) {
    const failed = rounds.reduce((sum, traffic) => sum + traffic.failed, 0);
    if (failed > 0) throw new Error(`${rung.title}: ${failed} calls failed`);
  }
  const ratiosOf = (name: GateRung): Ratios => ({
    ofBare: medianRatio(measured, name, 'bare'),
    ofSdk: medianRatio(measured, name, 'sdk'),
  });
  return {
    bare: ratiosOf('bare'),
    sdk: ratiosOf('sdk'),
    flotilla: ratiosOf('flotilla'),
    longWay: ratiosOf('longWay'),
  };
}
