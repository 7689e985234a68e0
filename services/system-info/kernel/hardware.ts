/** Of what the machine is made: board, firmware, and devices on its buses. No serial numbers. */
import { optional, readNames, readSlowText, readText, type Gaps, type Host } from '../host.ts';
import { driverOf } from './disks.ts';

const dmiFacts = {
  vendor: 'sys_vendor',
  product: 'product_name',
  productVersion: 'product_version',
  boardVendor: 'board_vendor',
  board: 'board_name',
  firmwareVendor: 'bios_vendor',
  firmwareVersion: 'bios_version',
  firmwareDate: 'bios_date',
} as const;

/** What the firmware says of the machine; on boards without DMI the device tree names the model. @throws Absent. */
export function machineOf(host: Host): Partial<Record<keyof typeof dmiFacts, string>> {
  const names = optional(() => readNames(host, '/sys/class/dmi/id'));
  if (!names) return { product: readText(host, '/proc/device-tree/model').replaceAll('\0', '').trim() };
  const facts = Object.entries(dmiFacts).map(([name, file]) => [
    name,
    optional(() => readText(host, `/sys/class/dmi/id/${file}`).trim()),
  ]);
  return Object.fromEntries(facts.filter(([, value]) => value !== undefined && value !== '')) as ReturnType<
    typeof machineOf
  >;
}

export interface Device {
  readonly bus: 'pci' | 'usb';
  readonly address: string;
  readonly kind?: string | undefined;
  readonly vendor?: string | undefined;
  readonly name?: string | undefined;
  readonly driver?: string | undefined;
}

const pciClasses: Readonly<Record<string, string>> = {
  '01': 'storage',
  '02': 'network',
  '03': 'display',
  '04': 'multimedia',
  '05': 'memory',
  '06': 'bridge',
  '07': 'communication',
  '08': 'system',
  '09': 'input',
  '0b': 'processor',
  '0c': 'serial bus',
  '0d': 'wireless',
  '10': 'encryption',
  '11': 'signal processing',
  '12': 'accelerator',
};

/** Devices on PCI and USB; buses that are not there are told. */
export async function devicesOf(host: Host, gaps: Gaps): Promise<Device[]> {
  const pci = gaps.of('pci', () => readNames(host, '/sys/bus/pci/devices'));
  const usb = gaps.of('usb', () => readNames(host, '/sys/bus/usb/devices'));
  const ids = pci && pci.length > 0 ? await pciNames(host) : undefined;
  return [
    ...(pci ?? []).map((address) => pciDevice(host, address, ids)),
    // With a colon in it, it is one part of a device.
    ...(usb ?? []).filter((name) => !name.includes(':')).map((address) => usbDevice(host, address)),
  ];
}

function pciDevice(host: Host, address: string, ids: PciNames | undefined): Device {
  const folder = `/sys/bus/pci/devices/${address}`;
  const hex = (file: string) => optional(() => readText(host, `${folder}/${file}`).trim().replace('0x', ''));
  const [vendor, device] = [hex('vendor'), hex('device')];
  return {
    bus: 'pci',
    address,
    kind: pciClasses[hex('class')?.slice(0, 2) ?? ''],
    vendor: ids?.get(vendor ?? '') ?? vendor,
    name: ids?.get(`${vendor} ${device}`) ?? device,
    driver: driverOf(host, folder),
  };
}

function usbDevice(host: Host, address: string): Device {
  const folder = `/sys/bus/usb/devices/${address}`;
  const text = (file: string) => optional(() => readText(host, `${folder}/${file}`).trim());
  return {
    bus: 'usb',
    address,
    vendor: text('manufacturer') ?? text('idVendor'),
    name: text('product') ?? text('idProduct'),
    driver: driverOf(host, folder),
  };
}

type PciNames = ReadonlyMap<string, string>;
const idLists = ['/usr/share/misc/pci.ids', '/usr/share/hwdata/pci.ids'];

/** Names by vendor, and by vendor and device, from the list of the host where it has one. */
async function pciNames(host: Host): Promise<PciNames | undefined> {
  for (const path of idLists) {
    const text = await readSlowText(host, path).catch(() => undefined);
    if (text === undefined) continue;
    const names = new Map<string, string>();
    let vendor = '';
    for (const [, tabs, id = '', name = ''] of text.matchAll(/^(\t?)([\da-f]{4}) {2}(.+)$/gm)) {
      if (tabs === '') vendor = id;
      names.set(tabs === '' ? id : `${vendor} ${id}`, name);
    }
    return names;
  }
  return undefined;
}
