import { arch, machine } from 'node:os';

import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { figure, gaps, here, maybe, maybeText, partOf, rowsOf, text } from '../fields.ts';
import { Gaps, round } from '../host.ts';
import { readCpuInfo } from '../kernel/cpu.ts';
import { devicesOf, machineOf } from '../kernel/hardware.ts';
import { readSensors } from '../kernel/sensors.ts';
import {
  bootId,
  bootSeconds,
  containerAround,
  hostname,
  inWords,
  kernelRelease,
  osRelease,
  uptimeSeconds,
  virtualMachine,
} from '../kernel/system.ts';
import { mostListed } from '../limits.ts';
import { isoOf, type Watch } from '../watch.ts';

export function systemFacts({ host }: Pick<Watch, 'host'>, missing: Gaps, nowMs: number) {
  const os = missing.of('os_name, os_version', () => osRelease(host));
  const seconds = missing.of('uptime', () => uptimeSeconds(host));
  const boot = bootSeconds(host, nowMs);
  if (boot === undefined) missing.add('boot_time', 'neither /proc/stat nor /proc/uptime can be read');
  return {
    hostname: missing.of('hostname', () => hostname(host)),
    os_name: os?.get('NAME'),
    os_version: os?.get('VERSION') ?? os?.get('VERSION_ID'),
    kernel: missing.of('kernel', () => kernelRelease(host)),
    arch: machine() || arch(),
    uptime: seconds === undefined ? undefined : inWords(seconds),
    uptimeSeconds: seconds,
    boot_time: boot === undefined ? undefined : isoOf(boot),
  };
}

export const getSystemInformation = defineTool({
  name: 'get_system_information',
  title: 'System Information',
  description:
    'Name, operating system, kernel and uptime of the host, and whether this is a container or virtual machine.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object(here),
  output: z.object({
    hostname: maybeText.describe('Name of the host.'),
    os_name: maybeText.describe('Such as Debian GNU/Linux.'),
    os_version: maybeText.describe('Its version.'),
    kernel: maybeText.describe('Release of the kernel.'),
    arch: text.describe('Such as x86_64.'),
    uptime: maybeText.describe('In words.'),
    uptimeSeconds: maybe.describe('Since the start of the host.'),
    boot_time: maybeText.describe('ISO 8601.'),
    container: partOf(
      z.object({ kind: text, evidence: text }),
      'Where this service runs in one; operating system and name are then its own.',
    ).optional(),
    virtualMachine: maybeText.describe('By whom, where the host is one.'),
    ...gaps,
  }),
  async handler(_args, watch: Watch, { nowMs }) {
    const missing = new Gaps();
    const { host } = watch;
    const info = await missing.later('virtualMachine', async () => readCpuInfo(host));
    return {
      ...systemFacts(watch, missing, nowMs),
      container: containerAround(host),
      virtualMachine: virtualMachine(host, info),
      ...missing.said,
    };
  },
});

export const getHardwareInformation = defineTool({
  name: 'get_hardware_information',
  title: 'Hardware Information',
  description: 'Board, firmware, and devices on PCI and USB; no serial numbers.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ ...here, limit: limitField(mostListed, 100), cursor: cursorField }),
  output: z.object({
    machine: partOf(z.looseObject({}), 'Vendor, product, board and firmware.').optional(),
    devices: rowsOf(
      z.object({
        bus: text,
        address: text,
        kind: maybeText,
        vendor: maybeText,
        name: maybeText,
        driver: maybeText,
      }),
      'With bus, address, kind, vendor, name and driver.',
    ),
    ...continuation,
    ...gaps,
  }),
  async handler({ cursor, ...args }, { host }: Watch) {
    const missing = new Gaps();
    const machine = missing.of('machine', () => machineOf(host));
    const all = await devicesOf(host, missing);
    const [start] = decodeCursor('get_hardware_information', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const devices = fitting(all.slice(start, start + args.limit));
    const end = start + devices.length;
    return {
      machine,
      devices,
      ...continued('get_hardware_information', args, end < all.length ? [end] : undefined),
      ...missing.said,
    };
  },
});

export const getSensors = defineTool({
  name: 'get_sensors',
  title: 'Sensors',
  description: 'Temperatures, fans, voltages, power and batteries, as far as the machine tells them.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({}),
  output: z.object({
    sensors: rowsOf(
      z.object({
        chip: text,
        label: text,
        temperatureCelsius: maybe,
        highCelsius: maybe,
        criticalCelsius: maybe,
        fanRpm: maybe,
        volts: maybe,
        amperes: maybe,
        watts: maybe,
        chargePercent: maybe,
        chargeState: maybeText,
      }),
      'With chip, label, and temperatureCelsius, fanRpm, volts, amperes, watts or chargePercent.',
    ).optional(),
    ...gaps,
  }),
  async handler(_args, { host }: Watch) {
    const missing = new Gaps();
    const sensors = await readSensors(host, missing);
    return {
      sensors: sensors.length === 0 ? undefined : fitting(sensors.slice(0, mostListed)),
      ...missing.said,
    };
  },
});

export const getUptimeEvents = defineTool({
  name: 'get_uptime_events',
  title: 'Uptime Events',
  description:
    'When the host started, slept, ran out of memory or had its clock set, when measuring paused, and when processes of the fleet started or were lost. Newest first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    days: z.int().min(1).max(365).default(30).describe('How far back.'),
    limit: limitField(mostListed, 50),
    cursor: cursorField,
  }),
  output: z.object({
    uptimeSeconds: maybe.describe('Of the host.'),
    bootTime: maybeText.describe('ISO 8601.'),
    bootId: maybeText.describe('Of this start of the host.'),
    observedSince: maybeText.describe('The oldest sample: nothing is known of earlier times.'),
    events: rowsOf(
      z.object({ time: text, kind: text, subject: text, detail: text, seconds: figure.nullable() }),
      'With time, kind, subject, detail, and seconds: how long it took.',
    ),
    ...continuation,
    ...gaps,
  }),
  handler({ cursor, ...args }, watch: Watch, { nowMs }) {
    const missing = new Gaps();
    const { host, store } = watch;
    const newest: [number, number] = [Number.MAX_SAFE_INTEGER, 0];
    const place = z.tuple([z.int(), z.int().min(0)]);
    const before = decodeCursor('get_uptime_events', args, cursor, place, newest);
    const found = store.events(Math.floor(nowMs / 1_000) - args.days * 86_400, args.limit + 1, before);
    const page = fitting(found.slice(0, args.limit));
    const last = page.at(-1);
    const { first } = store.reach();
    const { uptimeSeconds: seconds, boot_time: bootTime } = systemFacts(watch, missing, nowMs);
    return {
      uptimeSeconds: seconds,
      bootTime,
      bootId: missing.of('bootId', () => bootId(host)),
      observedSince: Number.isFinite(first) ? isoOf(first) : undefined,
      events: page.map(({ atSeconds, kind, subject, detail, seconds: took }) => ({
        time: isoOf(atSeconds),
        kind,
        subject,
        detail,
        seconds: took === null ? null : round(took, 1),
      })),
      ...continued(
        'get_uptime_events',
        args,
        last && page.length < found.length ? [last.atSeconds, last.id] : undefined,
      ),
      ...missing.said,
    };
  },
});
