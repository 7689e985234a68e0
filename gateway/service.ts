import { dirname, join } from 'node:path';

import { z } from 'zod';

import { catalogue, isService } from '#config/catalogue.ts';
import { confirms } from '#runtime/access/confirm.ts';
import { Assertions, signingKey, signingKeyFile } from '#runtime/access/assertions.ts';
import { resultTokens } from '#runtime/access/tokens.ts';
import { metricsType } from '#runtime/account/metrics.ts';
import { defineService } from '#runtime/service.ts';

import { Mounts, type MountsParts } from './foreign/mounts.ts';
import { readAllPins } from './foreign/pins.ts';
import { secretsName, upstreamsName } from './foreign/upstreams-file.ts';
import { Gateway } from './gateway.ts';
import { integrationFace } from './integration-face.ts';
import { documentAnswer, pageAnswer } from './rest/document.ts';
import { listenedOf } from './rest/events.ts';
import { SchemaRegistry } from './rest/schema-registry.ts';
import { findTools } from './search.ts';
import type { UpstreamOptions } from './upstream.ts';

const names = catalogue.filter(isService).map(({ name }) => name);

const settings = z.object({
  FLOTILLA_GATEWAY_CONFIRM: z
    .enum(confirms)
    .default('off')
    .describe(
      'Which calls a person has to agree to, asked by the client: off, destructive (tools that destroy), or writes (all that change something). Clients that cannot ask are refused. A token may say otherwise.',
    ),
  FLOTILLA_GATEWAY_EXPECT: z
    .string()
    .transform((list) => list.split(',').map((name) => name.trim()))
    .optional()
    .describe(
      'Names of the services to stand in front of, with commas between; all of the catalogue unless set.',
    ),
  FLOTILLA_GATEWAY_OBSERVE: z
    .enum(['on', 'off'])
    .default('on')
    .describe(
      'Whether the observers are told how calls turn out, without arguments and results, and thoughts are copied to reasoning-capture: on or off.',
    ),
  FLOTILLA_GATEWAY_RESULT_TOKENS: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .refine(
      (tokens) => tokens === 0 || (tokens >= resultTokens.least && tokens <= resultTokens.most),
      `must be 0, or from ${resultTokens.least} to ${resultTokens.most}`,
    )
    .default(resultTokens.usual)
    .describe(
      'Tokens (o200k_base) that a client takes in one answer: longer ones are kept in context, and told in part with how to read on; 0 for any number. A token, and the URL of a client with result_tokens, may say otherwise.',
    ),
});

const schemasIn = (dataDir: string) => new SchemaRegistry(join(dataDir, 'schemas.json'));

/** No reference reaches a token or a setting of the fleet. */
const withoutOurs = (environment: NodeJS.ProcessEnv) =>
  Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('FLOTILLA_')));

/** The gateway in front of these; the fleet's own are those of the catalogue. */
export function createGateway(
  upstreamsOf: (expected: readonly string[], portOffset: number) => readonly UpstreamOptions[],
) {
  return defineService({
    name: 'gateway',
    settings,
    secretFiles: [signingKeyFile],

    open({ settings, dataDir, host, log, now, metrics, isAlive }): Gateway {
      const {
        FLOTILLA_GATEWAY_CONFIRM: confirm,
        FLOTILLA_GATEWAY_EXPECT: expected = names,
        FLOTILLA_GATEWAY_OBSERVE: observe,
        FLOTILLA_GATEWAY_RESULT_TOKENS: takenTokens,
      } = settings;
      const upstreams = upstreamsOf(expected, host.FLOTILLA_PORT_OFFSET);
      const mount = (fleet: MountsParts['fleet']) =>
        new Mounts({
          file: join(dirname(dataDir), upstreamsName),
          secretsFile: join(dirname(dataDir), secretsName),
          dataDir,
          environment: withoutOurs(process.env),
          log,
          now,
          fleet,
        });
      const observing = observe === 'on' ? { file: join(dataDir, 'thoughts.json'), isAlive } : undefined;
      const assertions = new Assertions('gateway', signingKey(dataDir));
      return new Gateway(
        upstreams,
        assertions,
        { log, now, metrics, observing, takenTokens, confirm, schemas: schemasIn(dataDir) },
        mount,
      );
    },

    // A copy mounts nothing.
    openCopy(dataDir) {
      readAllPins(dataDir);
      schemasIn(dataDir);
      return { [Symbol.dispose]: () => {} };
    },

    // Its own tool: what stands behind it, health asks itself.
    canary: { tool: findTools.name, arguments: { question: 'canary', limit: 1 } },
    check: (gateway) => gateway.standing.readiness(),
    describe: (gateway) => ({
      upstreams: gateway.standing.states(),
      foreign: gateway.standing.foreign(),
      observed: gateway.observed(),
    }),
    routes: [
      {
        path: '/metrics',
        access: 'open',
        async handle(_request, gateway) {
          return new Response(await gateway.metrics(), { headers: { 'content-type': metricsType } });
        },
      },
      {
        path: '/openapi.json',
        access: 'open',
        handle: async (request, { standing }) => documentAnswer(request, standing),
      },
      {
        path: '/docs',
        access: 'open',
        handle: async (request, { standing }) => pageAnswer(request, standing),
      },
    ],
    listened: listenedOf<Gateway>(async (wanted, gateway, listener) => gateway.listen(wanted, listener)),
    grpc: integrationFace,
    relay: (gateway, account, notify) => gateway.relay(account, notify),
  });
}

export default createGateway((expected, portOffset) =>
  catalogue
    .filter((entry) => isService(entry) && expected.includes(entry.name))
    .map(({ name, description, port }) => ({
      name,
      description,
      origin: `http://127.0.0.1:${port + portOffset}`,
    })),
);
