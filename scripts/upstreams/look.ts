/** A look at one foreign server from the command line, as the gateway would mount it; nothing is kept. */
import { copyFileSync, existsSync, mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { catalogue, isService } from '#config/catalogue.ts';
import { createLog } from '#runtime/account/log.ts';
import { resourcesOf } from '#runtime/service.ts';

import { findingKinds, subjectOf, visible } from '../../gateway/foreign/findings.ts';
import { namesOf } from '../../gateway/foreign/offer.ts';
import { pinsFile, readPins } from '../../gateway/foreign/pins.ts';
import { openReferences } from '../../gateway/foreign/references.ts';
import { ForeignServer } from '../../gateway/foreign/server.ts';
import type { Upstream } from '../../gateway/foreign/upstreams-file.ts';
import { ownTools } from '../../gateway/standing.ts';
import { schemeOf } from '../../gateway/surface.ts';
import { loadService } from '../load.ts';

interface Parts {
  /** The servers that come before it in the file. */
  readonly before: readonly Upstream[];
  readonly secretsFile: string;
  readonly gatewayDir: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** @returns what there is to tell, and whether it is up. */
export async function lookAt(
  upstream: Upstream,
  { before, secretsFile, gatewayDir, environment }: Parts,
): Promise<{ readonly isUp: boolean; readonly text: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-look-'));
  const pins = pinsFile(folder, upstream.name);
  const known = pinsFile(gatewayDir, upstream.name);
  mkdirSync(dirname(pins));
  // What the gateway has pinned says what is held back; it is not changed by a look.
  if (existsSync(known)) copyFileSync(known, pins);
  const said: string[] = [];
  const log = createLog('upstream', 'info', (line) => {
    const { event, line: text } = JSON.parse(line) as { readonly event: string; readonly line?: string };
    if (event === 'upstream_said' && text !== undefined) said.push(text);
  });
  const server = new ForeignServer({
    upstream: { ...upstream, enabled: true },
    references: openReferences(secretsFile, environment),
    pinsFile: pins,
    log,
    now: Date.now,
    told: () => {},
    firstDelayMs: 100,
  });
  try {
    // A first failure may be the answer to the question for the newer era; the second one is meant.
    const isEnded = () =>
      server.state.status === 'up' || (server.state.status === 'down' && server.starts !== 1);
    while (!isEnded()) await sleep(50);
    server.arrange(await takenBefore(before, gatewayDir));
    return { isUp: server.state.status === 'up', text: told(server, said) };
  } finally {
    await server[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  }
}

const list = (names: readonly unknown[]) => names.map((name) => visible(String(name))).join(', ');

function told(server: ForeignServer, said: readonly string[]): string {
  const { surface, state, findings, held, refused, upstream, title, era } = server;
  if (state.status !== 'up') {
    const last = said.slice(-5).map((line) => `  | ${visible(line)}\n`);
    return [
      `✗ ${upstream.name}: ${visible((state.reason ?? state.status).replace(/\.$/, ''))}.\n`,
      ...last,
    ].join('');
  }
  const lists = [
    ['tools', surface.tools.map(({ name }) => name)],
    ['prompts', surface.prompts.map(({ name }) => name)],
    [
      'resources',
      [
        ...surface.resources.map(({ uri }) => uri),
        ...surface.resourceTemplates.map(({ uriTemplate }) => uriTemplate),
      ],
    ],
  ] as const;
  return [
    `✓ ${upstream.name}: ${visible(title)}, ${era === 'modern' ? '2026-07-28 or newer' : '2025-11-25 or older'}\n`,
    ...lists
      .filter(([, names]) => names.length > 0)
      .map(([what, names]) => `  ${names.length} ${what}: ${list(names)}\n`),
    ...findings.map(
      ({ kind, subject, place, text }) =>
        `! ${subject}: ${findingKinds[kind]} (${visible(place)}): ${text}\n`,
    ),
    ...refused.map(({ subject, reason }) => `- ${visible(subject)} is not offered: ${reason}\n`),
    ...held.map((pin) => `- ${subjectOf(pin)} is held back: flotilla upstream approve ${upstream.name}\n`),
  ].join('');
}

/** The names of those who come first: the fleet, and other servers, as far as the gateway has seen them. */
async function takenBefore(before: readonly Upstream[], gatewayDir: string) {
  const services = await Promise.all(
    catalogue.filter(isService).map(async ({ name }) => ({ name, service: await loadService(name) })),
  );
  const others = before
    .filter(({ enabled }) => enabled)
    .map(({ name, prefix }) => ({ name, names: namesOf(readPins(pinsFile(gatewayDir, name)), prefix) }));
  const named = (of: 'tools' | 'prompts') =>
    new Map([
      ...others.toReversed().flatMap(({ name, names }) => names[of].map((one) => [one, name] as const)),
      ...services.flatMap(({ name, service }) => (service[of] ?? []).map((one) => [one.name, name] as const)),
      ...(of === 'tools' ? ownTools.map((one) => [one, 'gateway'] as const) : []),
    ]);
  const schemes = services.flatMap(({ service }) =>
    resourcesOf(service).flatMap(({ uri }) => schemeOf(uri) ?? []),
  );
  return {
    tools: named('tools'),
    prompts: named('prompts'),
    uris: new Map<string, string>(),
    schemes: new Set(schemes),
  };
}
