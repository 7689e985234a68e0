/** Temperatures, fans, voltages and batteries. Reading one may ask a chip over a slow bus: so not on this thread. */
import { Absent, optional, readNames, readSlowText, round, type Gaps, type Host } from '../host.ts';

export interface Sensor {
  readonly chip: string;
  readonly label: string;
  readonly temperatureCelsius?: number;
  readonly highCelsius?: number;
  readonly criticalCelsius?: number;
  readonly fanRpm?: number;
  readonly volts?: number;
  readonly amperes?: number;
  readonly watts?: number;
  readonly chargePercent?: number;
  readonly chargeState?: string;
}

type Kind = 'temp' | 'fan' | 'in' | 'curr' | 'power';
const kinds: Readonly<Record<Kind, (raw: number) => Partial<Sensor>>> = {
  temp: (raw) => ({ temperatureCelsius: round(raw / 1_000, 1) }),
  fan: (raw) => ({ fanRpm: raw }),
  in: (raw) => ({ volts: round(raw / 1_000, 3) }),
  curr: (raw) => ({ amperes: round(raw / 1_000, 3) }),
  power: (raw) => ({ watts: round(raw / 1_000_000, 3) }),
};

const virtualReason = 'virtual machines and containers usually have none';

/** All of them; what is missing is told. */
export async function readSensors(host: Host, gaps: Gaps): Promise<Sensor[]> {
  const chips = await gaps.later('hwmon', async () => readChips(host, gaps));
  const zones = await gaps.later('thermal zones', async () => readZones(host));
  const batteries = (await batteriesOf(host)) ?? [];
  return [...(chips ?? []), ...(zones ?? []), ...batteries];
}

async function readChips(host: Host, gaps: Gaps): Promise<Sensor[]> {
  const folders = optional(() => readNames(host, '/sys/class/hwmon')) ?? [];
  if (folders.length === 0)
    throw new Absent(`this machine shows no sensors in /sys/class/hwmon: ${virtualReason}`);
  const found: Sensor[] = [];
  for (const folder of folders.map((name) => `/sys/class/hwmon/${name}`)) {
    const chip = (await textAt(host, `${folder}/name`)) ?? folder;
    for (const file of optional(() => readNames(host, folder)) ?? []) {
      const [, kind, number] = /^(temp|fan|in|curr|power)(\d+)_input$/.exec(file) ?? [];
      if (kind === undefined || number === undefined) continue;
      const label = (await textAt(host, `${folder}/${kind}${number}_label`)) ?? `${kind}${number}`;
      const raw = await gaps.later(`${chip} ${label}`, async () => numberAt(host, `${folder}/${file}`));
      if (raw === undefined) continue;
      const limit = async (name: string) =>
        kind === 'temp'
          ? numberAt(host, `${folder}/temp${number}_${name}`).catch(() => undefined)
          : undefined;
      const [high, critical] = [await limit('max'), await limit('crit')];
      found.push({
        chip,
        label,
        ...kinds[kind as Kind](raw),
        ...(high !== undefined && { highCelsius: round(high / 1_000, 1) }),
        ...(critical !== undefined && { criticalCelsius: round(critical / 1_000, 1) }),
      });
    }
  }
  return found;
}

async function readZones(host: Host): Promise<Sensor[]> {
  const names = (optional(() => readNames(host, '/sys/class/thermal')) ?? []).filter((name) =>
    name.startsWith('thermal_zone'),
  );
  if (names.length === 0) throw new Absent(`this machine has no thermal zones: ${virtualReason}`);
  const zones = await Promise.all(
    names.map(async (name): Promise<Sensor | undefined> => {
      const raw = await numberAt(host, `/sys/class/thermal/${name}/temp`).catch(() => undefined);
      const label = (await textAt(host, `/sys/class/thermal/${name}/type`)) ?? name;
      // A zone that is switched off says an error, or what cannot be.
      if (raw === undefined || raw < -273_150) return undefined;
      return { chip: name, label, temperatureCelsius: round(raw / 1_000, 1) };
    }),
  );
  return zones.filter((zone) => zone !== undefined);
}

async function batteriesOf(host: Host): Promise<Sensor[] | undefined> {
  const names = optional(() => readNames(host, '/sys/class/power_supply'));
  const all = await Promise.all(
    (names ?? []).map(async (name): Promise<Sensor | undefined> => {
      const folder = `/sys/class/power_supply/${name}`;
      const charge = await numberAt(host, `${folder}/capacity`).catch(() => undefined);
      if (charge === undefined) return undefined;
      const state = await textAt(host, `${folder}/status`);
      return {
        chip: name,
        label: 'battery',
        chargePercent: charge,
        ...(state !== undefined && { chargeState: state }),
      };
    }),
  );
  return all.filter((one) => one !== undefined);
}

async function textAt(host: Host, path: string): Promise<string | undefined> {
  return readSlowText(host, path).then(
    (text) => text.trim(),
    () => undefined,
  );
}

/** @throws Absent. */
async function numberAt(host: Host, path: string): Promise<number> {
  const text = (await readSlowText(host, path)).trim();
  if (text === '' || !Number.isFinite(Number(text))) throw new Absent(`${path} holds no number`);
  return Number(text);
}

/** The warmest of all, for the history. */
export async function warmestCelsius(host: Host): Promise<number | undefined> {
  const all = [
    ...((await readChips(host, noGaps).catch(() => [])) as Sensor[]),
    ...((await readZones(host).catch(() => [])) as Sensor[]),
  ];
  const degrees = all
    .map(({ temperatureCelsius }) => temperatureCelsius)
    .filter((value) => value !== undefined);
  return degrees.length === 0 ? undefined : Math.max(...degrees);
}

const noGaps = {
  later: async <Value>(_field: string, read: () => Promise<Value>) => read().catch(() => undefined),
} as Gaps;
