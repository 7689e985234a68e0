/** What a foreign server lists, looked over once, and what of it the gateway can offer beside everyone else. */
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Effect } from '#runtime/tool.ts';

import { schemeOf, type Listed, type ListedTool, type Surface } from '../surface.ts';
import type { Json } from './client.ts';
import {
  findingsInText,
  findingsOfNames,
  longestDefinition,
  subjectOf,
  type Definition,
  type Finding,
  type OtherNames,
} from './findings.ts';
import { nothing, type Lists } from './lists.ts';
import { plainMeta, strippedDeep } from './meta.ts';
import { outwardNames } from './naming.ts';
import { hashOf, type Pin, type Pins } from './pins.ts';
import { tamedInput, tamedOutput } from './schema.ts';

/** One thing that it offers, with all that can be told of it alone. */
interface Seen {
  readonly definition: Definition;
  readonly hash: string;
  readonly sizeBytes: number;
  readonly findings: readonly Finding[];
  /** As the gateway lists it, but for its name. */
  readonly listed: Json;
  /** Of a tool, as the server gave it. */
  readonly inputSchema: object;
}

export interface Look {
  readonly tools: readonly Seen[];
  readonly prompts: readonly Seen[];
  readonly instructions: Seen | undefined;
  readonly resources: readonly Json[];
  readonly resourceTemplates: readonly Json[];
}

/** Names and places that are taken by those who come first: the fleet, and the servers before this one in the file. */
export interface Taken {
  readonly tools: OtherNames;
  readonly prompts: OtherNames;
  readonly uris: OtherNames;
  /** Of the fleet's resources. */
  readonly schemes: ReadonlySet<string>;
}

/** What it has and the gateway cannot offer. */
export interface Refused {
  readonly subject: string;
  readonly reason: string;
}

export interface OfferedTool {
  /** Its own name. */
  readonly name: string;
  readonly inputSchema: object;
  /** Some of its arguments go into headers, too. */
  readonly hasHeaders: boolean;
  readonly effect: Effect;
}

/** All that is offered, as the gateway lists it. */
export interface Offering {
  readonly instructions: string;
  readonly tools: readonly ListedTool[];
  readonly resources: readonly Listed[];
  readonly resourceTemplates: readonly Listed[];
  readonly prompts: readonly Listed[];
}

/** By outward names. */
export interface Offer {
  readonly surface: Offering;
  readonly tools: ReadonlyMap<string, OfferedTool>;
  readonly prompts: ReadonlyMap<string, string>;
  readonly findings: readonly Finding[];
  readonly refused: readonly Refused[];
}

export const noLook: Look = {
  tools: [],
  prompts: [],
  instructions: undefined,
  resources: [],
  resourceTemplates: [],
};

const pieceMs = 4;

/** In pieces: others are served between them. */
export async function lookOver(lists: Lists, upstream: string): Promise<Look> {
  let began = performance.now();
  const each = async (kind: Definition['kind'], items: readonly Json[]) => {
    const seen: Seen[] = [];
    for (const item of items) {
      seen.push(see(kind, item, upstream));
      if (performance.now() - began < pieceMs) continue;
      await nextTurn();
      began = performance.now();
    }
    return seen;
  };
  const { resources, resourceTemplates, instructions } = lists;
  const texts = instructions === '' ? [] : [{ name: '', text: instructions }];
  return {
    tools: await each('tool', lists.tools),
    prompts: await each('prompt', lists.prompts),
    instructions: (await each('instructions', texts))[0],
    resources: resources.map((item) => listedOf(item, upstream)),
    resourceTemplates: resourceTemplates.map((item) => listedOf(item, upstream)),
  };
}

/** What a model sees of each; the rest may change without a word. */
const told: Readonly<Record<Definition['kind'], readonly string[]>> = {
  tool: ['title', 'description', 'inputSchema', 'outputSchema', 'annotations'],
  prompt: ['title', 'description', 'arguments'],
  instructions: ['text'],
};

function see(kind: Definition['kind'], item: Json, upstream: string): Seen {
  const fields = told[kind].filter((field) => item[field] !== undefined);
  const value = Object.fromEntries(fields.map((field) => [field, item[field]]));
  const name = typeof item['name'] === 'string' ? item['name'] : '';
  const definition = { kind, name, value };
  const sizeBytes = Buffer.byteLength(JSON.stringify(value));
  const isShort = sizeBytes <= longestDefinition;
  const { inputSchema } = item;
  return {
    definition,
    hash: hashOf(definition),
    sizeBytes,
    findings: isShort ? findingsInText(definition) : [],
    listed: kind === 'tool' && isShort ? listedTool(item, upstream) : listedOf(item, upstream),
    inputSchema: typeof inputSchema === 'object' && inputSchema !== null ? inputSchema : {},
  };
}

function listedOf(item: Json, upstream: string): Json {
  return {
    ...(strippedDeep(item) as Json),
    _meta: { ...plainMeta(item['_meta']), 'dev.flotilla/upstream': upstream },
  };
}

function listedTool(item: Json, upstream: string): Json {
  const { outputSchema, ...rest } = listedOf(item, upstream);
  const output = tamedOutput(outputSchema);
  return {
    ...rest,
    inputSchema: tamedInput(item['inputSchema']),
    ...(output && { outputSchema: output }),
  };
}

/** What was pinned, as it would be listed: what a server offers that is not there yet. */
export function listsOf(pins: Pins | undefined): Lists {
  const of = (kind: Pin['kind']) =>
    (pins?.pinned ?? []).filter((pin) => pin.kind === kind).map(({ name, value }) => ({ name, ...value }));
  const [instructions] = of('instructions') as readonly { readonly text?: string }[];
  return { ...nothing, tools: of('tool'), prompts: of('prompt'), instructions: instructions?.text ?? '' };
}

export const definitionsIn = ({ tools, prompts, instructions }: Look): readonly Definition[] =>
  [...tools, ...prompts, ...(instructions ? [instructions] : [])]
    .filter(({ definition, sizeBytes }) => isNamed(definition) && sizeBytes <= longestDefinition)
    .map(({ definition }) => definition);

const isNamed = ({ kind, name }: Definition) => kind === 'instructions' || name !== '';

/**
 * Outward names that nobody after this one may have: of all that it has shown, also while it is held back or not there. Another
 * server would be called in its place.
 */
export function namesOf(pins: Pins | undefined, prefix: string) {
  const all = [...(pins?.pinned ?? []), ...(pins?.held ?? [])];
  const of = (kind: Pin['kind']) => {
    const names = all.filter((pin) => pin.kind === kind).map(({ name }) => name);
    return [...outwardNames(prefix, names).values()];
  };
  return { tools: of('tool'), prompts: of('prompt') };
}

/** Pure. */
export function offerOf(look: Look, pins: Pins | undefined, prefix: string, taken: Taken): Offer {
  const pinned = new Set((pins?.pinned ?? []).map(({ hash }) => hash));
  const findings: Finding[] = [];
  const refused: Refused[] = [];

  /** What may be offered of each kind, with outward names that nobody else has. */
  const named = (all: readonly Seen[], owners: OtherNames) => {
    const once = new Map<string, Seen>();
    for (const seen of all) {
      const { definition, sizeBytes } = seen;
      const subject = subjectOf(definition);
      const why = !isNamed(definition)
        ? 'it has no name'
        : once.has(definition.name)
          ? 'its name stands there twice'
          : sizeBytes > longestDefinition
            ? `its definition has ${sizeBytes} bytes, and may have ${longestDefinition}`
            : undefined;
      if (why === undefined) once.set(definition.name, seen);
      else refused.push({ subject, reason: why });
    }
    const good = [...once.values()].filter(({ hash }) => pinned.has(hash));
    const names = outwardNames(
      prefix,
      good.map(({ definition }) => definition.name),
    );
    // It may speak of its own, whoever else has such a name.
    const others = new Map([...owners].filter(([name]) => prefix === '' || !once.has(name)));
    for (const { definition, findings: inText } of once.values()) {
      const outward = names.get(definition.name) ?? prefix + definition.name;
      findings.push(...inText, ...findingsOfNames(definition, others, outward));
    }
    return good.flatMap((seen) => {
      const { definition } = seen;
      const outward = names.get(definition.name) ?? definition.name;
      const owner = owners.get(outward);
      if (owner === undefined) return [{ seen, outward }];
      const reason = `${outward} is a name of ${owner}: give this server a prefix of its own`;
      refused.push({ subject: subjectOf(definition), reason });
      return [];
    });
  };
  const tools = named(look.tools, taken.tools);
  const prompts = named(look.prompts, taken.prompts);
  const { instructions } = look;
  if (instructions) findings.push(...instructions.findings);

  const addressed = (all: readonly Json[], key: 'uri' | 'uriTemplate'): Listed[] =>
    all.flatMap((item) => {
      const reason = whyNoAddress(item[key], taken);
      const address = String(item[key]);
      const name = typeof item['name'] === 'string' ? item['name'] : address;
      if (reason === undefined) return [{ ...item, name }];
      refused.push({ subject: `resource ${address.slice(0, 200)}`, reason });
      return [];
    });

  return {
    surface: {
      instructions:
        instructions && pinned.has(instructions.hash) ? String(instructions.definition.value['text']) : '',
      tools: tools.map(({ seen, outward }) => ({ ...seen.listed, name: outward }) as ListedTool),
      prompts: prompts.map(({ seen, outward }) => ({ ...seen.listed, name: outward })),
      resources: addressed(look.resources, 'uri'),
      resourceTemplates: addressed(look.resourceTemplates, 'uriTemplate'),
    },
    tools: new Map(
      tools.map(({ seen: { definition, inputSchema, listed }, outward }) => {
        const hasHeaders = JSON.stringify(inputSchema).includes('"x-mcp-header"');
        const effect = effectOf(listed as ListedTool);
        return [outward, { name: definition.name, inputSchema, hasHeaders, effect }];
      }),
    ),
    prompts: new Map(prompts.map(({ seen, outward }) => [outward, seen.definition.name])),
    findings,
    refused,
  };
}

export const noOffer: Offer = {
  surface: { instructions: '', tools: [], resources: [], resourceTemplates: [], prompts: [] },
  tools: new Map(),
  prompts: new Map(),
  findings: [],
  refused: [],
};

function whyNoAddress(uri: unknown, { schemes, uris }: Taken): string | undefined {
  const scheme = schemeOf(uri);
  if (typeof uri !== 'string' || scheme === undefined) return 'it has no address that begins with a scheme';
  if (schemes.has(scheme)) return `what begins with ${scheme} is of the fleet`;
  const owner = uris.get(uri);
  return owner === undefined ? undefined : `${owner} has this address`;
}

/** What it takes to call a tool, by its own account: one that says nothing may destroy. */
function effectOf({ annotations }: ListedTool): Effect {
  const hints = (annotations ?? {}) as {
    readonly readOnlyHint?: unknown;
    readonly destructiveHint?: unknown;
  };
  if (hints.readOnlyHint === true) return 'read';
  return hints.destructiveHint === false ? 'write' : 'destroy';
}

/** In the form of the fleet's own: lists of those who may go so far. */
export function surfaceOf({ tools, instructions, resources, resourceTemplates, prompts }: Offering): Surface {
  const upTo = (...effects: readonly Effect[]) => tools.filter((tool) => effects.includes(effectOf(tool)));
  return {
    instructions,
    tools: { read: upTo('read'), write: upTo('read', 'write'), destroy: tools },
    core: [],
    resources,
    resourceTemplates,
    prompts,
    skills: [],
    extensions: {},
  };
}
