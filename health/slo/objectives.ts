/** Service level objectives as OpenSLO v1 has them, and what they are for each process of the catalogue. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { z } from 'zod';

import { offersTools, tierOrder, type CatalogueEntry } from '#config/catalogue.ts';
import { durationBuckets } from '#runtime/account/metrics.ts';
import { ConfigError } from '#runtime/errors.ts';

import { period, type Severity } from './burn.ts';
import { readYaml } from './yaml-file.ts';

/** Those of the project. */
export const ownFolder = fileURLToPath(new URL('../../config/slo', import.meta.url));

/** Those of the operator, in the fleet's data folder, which on a host nobody but root may write. */
export const operatorFolder = (dataRoot: string) => join(dataRoot, 'slo');

/** What a line of the catalogue may say of a process, beside its tier and network. */
const traits = {
  files: (entry) => entry.files === true,
  sandboxes: (entry) => entry.sandboxes === true,
  engines: (entry) => entry.engines === true,
  observes: (entry) => entry.observes === true,
  measures: (entry) => entry.measures === true,
  /** Clients call tools there. */
  tools: (entry) => offersTools(entry),
  watches: (entry) => entry.watches === true,
  shows: (entry) => entry.shows === true,
} as const satisfies Readonly<Record<string, (entry: CatalogueEntry) => boolean>>;
type Trait = keyof typeof traits;
const traitNames = Object.keys(traits) as Trait[];

const listOf = <Item extends z.ZodType>(item: Item) => z.array(item).min(1, 'must name at least one');
const traitField = z.enum(traitNames, `must be one of ${traitNames.join(', ')}`);

/** Processes for which all that is said is true. */
const selectorSchema = z
  .strictObject({
    tier: listOf(z.literal(tierOrder, `must be one of ${tierOrder.join(', ')}`)).optional(),
    network: listOf(z.enum(['none', 'loopback', 'egress'], 'must be none, loopback or egress')).optional(),
    trait: listOf(traitField).optional(),
    without: listOf(traitField).optional(),
  })
  .refine(
    (selector) => Object.keys(selector).length > 0,
    'must say something: tier, network, trait or without',
  );
type Selector = z.output<typeof selectorSchema>;

const nameField = z
  .string('must be a text')
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'must be up to 63 small letters, digits and hyphens, with no hyphen at either end',
  );
const exactly = <Value extends string | boolean>(value: Value, why = '') =>
  z.literal(value, `must be ${String(value)}${why}`);
const sourceOf = <Spec extends z.ZodType>(spec: Spec) =>
  z.strictObject({
    metricSource: z.strictObject({
      type: exactly('flotilla', ', for health counts its own events'),
      spec,
    }),
  });

const countField = z.enum(['polls', 'calls'], 'must be polls or calls');
const offAnnotation = 'dev.flotilla/off';
const severityAnnotation = 'dev.flotilla/most-severe';

const sloSchema = z
  .strictObject({
    apiVersion: exactly('openslo/v1'),
    kind: exactly('SLO', ', the one kind that is read here'),
    metadata: z.strictObject({
      name: nameField,
      displayName: z.string().min(1).max(100).optional(),
      labels: z.record(z.string(), z.union([z.string(), z.array(z.string())])).optional(),
      annotations: z
        .looseObject({
          [offAnnotation]: z
            .enum(['true', 'false'], 'must be "true" or "false", in quotation marks')
            .optional(),
          [severityAnnotation]: z.enum(['page', 'ticket'], 'must be page or ticket').optional(),
        })
        .optional(),
    }),
    spec: z.strictObject({
      description: z.string().max(1_000).default(''),
      service: z.string().min(1),
      indicator: z.strictObject({
        metadata: z.strictObject({ name: nameField, displayName: z.string().optional() }).optional(),
        spec: z.strictObject({
          description: z.string().optional(),
          ratioMetric: z
            .strictObject({
              counter: exactly(true, ', for events are counted'),
              good: sourceOf(
                z.discriminatedUnion(
                  'count',
                  [
                    z.strictObject({ count: z.literal('polls'), result: exactly('up') }),
                    z.strictObject({
                      count: z.literal('calls'),
                      withinSeconds: z.literal(
                        durationBuckets,
                        `must be a bound of the buckets: ${durationBuckets.join(', ')}`,
                      ),
                    }),
                  ],
                  'must be polls or calls',
                ),
              ),
              total: sourceOf(
                z.strictObject({
                  count: countField,
                  of: listOf(selectorSchema),
                  each: z.boolean('must be true or false').default(false),
                }),
              ),
            })
            .refine(({ good, total }) => good.metricSource.spec.count === total.metricSource.spec.count, {
              message: 'must count the same in good and in total',
              path: ['total', 'metricSource', 'spec', 'count'],
            }),
        }),
      }),
      timeWindow: z
        .array(
          z.strictObject({
            duration: exactly(period, ': the alerts by burn rate are made for it'),
            isRolling: exactly(true),
          }),
          'must be a list with one window of 30d',
        )
        .length(1, 'must have one window'),
      budgetingMethod: exactly('Occurrences', ': each poll or call counts once'),
      objectives: z
        .array(
          z.strictObject({
            displayName: z.string().optional(),
            target: z
              .number('must be a number, such as 0.999')
              .gt(0, 'must be above 0')
              .lt(1, 'must be below 1: there would be no budget to spend'),
          }),
          'must be a list with one objective',
        )
        .length(1, 'must have one objective: write another SLO for another target'),
    }),
  })
  .transform(({ metadata, spec }): Slo => {
    const { good, total } = spec.indicator.spec.ratioMetric;
    const events = good.metricSource.spec;
    return {
      name: metadata.name,
      title: metadata.displayName ?? metadata.name,
      description: spec.description,
      target: spec.objectives[0]?.target ?? 0,
      measure:
        events.count === 'polls'
          ? { count: 'polls' }
          : { count: 'calls', withinSeconds: events.withinSeconds },
      of: total.metricSource.spec.of,
      each: total.metricSource.spec.each,
      mostSevere: metadata.annotations?.[severityAnnotation] ?? 'page',
      isOff: metadata.annotations?.[offAnnotation] === 'true',
    };
  });

/** Which events count, and which of them went well. */
export type Measure =
  | { readonly count: 'polls' }
  | { readonly count: 'calls'; readonly withinSeconds: number };

interface Slo {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Share of events that must go well, above 0 and below 1. */
  readonly target: number;
  readonly measure: Measure;
  readonly of: readonly Selector[];
  readonly each: boolean;
  readonly mostSevere: Severity;
  readonly isOff: boolean;
}

/** One SLO of one process, or of several taken together. */
export interface Objective extends Pick<Slo, 'title' | 'description' | 'target' | 'measure' | 'mostSevere'> {
  /** `core-memory`, or `core` for all together. */
  readonly id: string;
  readonly slo: string;
  /** `null` for several together. */
  readonly process: string | null;
  readonly processes: readonly string[];
}

/** The SLOs in the files of a folder; none where there is no folder. @throws ConfigError that names file, line and field. */
function readFolder(folder: string): ReadonlyMap<string, Slo> {
  const found = new Map<string, { readonly slo: Slo; readonly file: string }>();
  if (!existsSync(folder)) return new Map();
  for (const file of filesIn(folder)) {
    for (const slo of readYaml(file, sloSchema)) {
      const twin = found.get(slo.name);
      if (twin)
        throw new ConfigError(`${file}, metadata.name: ${slo.name} stands in ${twin.file} too: rename one.`);
      found.set(slo.name, { slo, file });
    }
  }
  return new Map([...found].map(([name, { slo }]) => [name, slo]));
}

/** @throws ConfigError where the folder is there, but cannot be read. */
export function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => /\.ya?ml$/.test(name))
      .toSorted()
      .map((name) => join(folder, name));
  } catch (error) {
    throw new ConfigError(
      `${folder} cannot be read (${(error as NodeJS.ErrnoException).code}): check its owner and permissions.`,
      {
        cause: error,
      },
    );
  }
}

/**
 * All objectives, in the order of their files. SLOs of a later folder take the place of those of the same name in an earlier
 * one, or away where they are off.
 *
 * @throws ConfigError that names file, line and field.
 */
export function readObjectives(
  folders: readonly string[],
  entries: readonly CatalogueEntry[],
): readonly Objective[] {
  const slos = new Map(folders.flatMap((folder) => [...readFolder(folder)]));
  const objectives = [...slos.values()]
    .filter(({ isOff }) => !isOff)
    .flatMap((slo) => expanded(slo, entries));
  for (const [id, twins] of Map.groupBy(objectives, (objective) => objective.id))
    if (twins.length > 1)
      throw new ConfigError(
        `${twins.map(({ slo }) => `The SLO ${slo}`).join(' and ')} would both be called ${id}: rename one.`,
      );
  return objectives;
}

function expanded(slo: Slo, entries: readonly CatalogueEntry[]): readonly Objective[] {
  const { name, title, description, target, measure, mostSevere, each } = slo;
  const processes = entries
    .filter((entry) => slo.of.some((selector) => fits(entry, selector)))
    .map((entry) => entry.name);
  const common = { slo: name, title, description, target, measure, mostSevere };
  const [only] = processes;
  if (only === undefined) return [];
  const all = { ...common, id: name, process: processes.length === 1 ? only : null, processes };
  if (!each || processes.length === 1) return [all];
  return [
    all,
    ...processes.map((process) => ({
      ...common,
      id: `${name}-${process}`,
      title: `${title}: ${process}`,
      process,
      processes: [process],
    })),
  ];
}

function fits(entry: CatalogueEntry, { tier, network, trait, without }: Selector): boolean {
  return (
    (tier?.includes(entry.tier) ?? true) &&
    (network?.includes(entry.network) ?? true) &&
    (trait?.every((one) => traits[one](entry)) ?? true) &&
    !without?.some((one) => traits[one](entry))
  );
}

/** What an event is, in words. */
export function measureInWords(measure: Measure): string {
  return measure.count === 'polls' ? 'polls that found it up' : `calls within ${measure.withinSeconds} s`;
}
