/**
 * The official conformance suite: all that both revisions require against the fixture service, and against every real
 * service that part which needs no fixtures.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { describe, expect, test } from 'vitest';

import { catalogue, isService } from '#config/catalogue.ts';
import { resourcesOf, toolsOf, type AnyService } from '#runtime/service.ts';

import { loadService } from '../scripts/load.ts';
import { forwardWithToken } from './support/conformance-forwarder.ts';
import { conformanceService } from './support/conformance-service.ts';
import { runSuite, type Verdict } from './support/conformance-suite.ts';
import { serveBehind } from './support/fronted.ts';
import { serve } from './support/serve.ts';
import { isWhole } from './support/trials.ts';
import { wireService } from './support/wire-service.ts';

interface How {
  readonly scenario?: string;
  readonly hotPath?: boolean;
}

async function verdictOn(service: AnyService, revision: string, how: How = {}): Promise<Verdict> {
  await using served = await serve(service, {}, 0, { hotPath: how.hotPath ?? true });
  // Awaited here: with the bare promise, it would be disposed before the suite has begun.
  return await verdictAt(served, revision, how.scenario);
}

async function verdictAt(
  target: Parameters<typeof forwardWithToken>[0],
  revision: string,
  scenario?: string,
): Promise<Verdict> {
  await using forwarder = await forwardWithToken(target);
  return await runSuite(forwarder.url, revision, scenario);
}

/** How many scenarios each revision requires: a run of fewer is no run. */
const requiredCounts: Readonly<Record<string, number>> = { '2026-07-28': 37, '2025-11-25': 30 };

describe.concurrent('The fixture service', () => {
  const runs = Object.entries(requiredCounts).flatMap(([revision, count]) =>
    // Both ways answer alike (tests/hot-path.test.ts): the long one is tried with npm run test:faults.
    (isWhole ? [true, false] : [true]).map((hotPath) => ({
      revision,
      count,
      hotPath,
    })),
  );
  test.each(runs)(
    'passes all $count scenarios that $revision requires, with hot path: $hotPath',
    async ({ revision, count, hotPath }) => {
      const { required, failedChecks, unscored } = await verdictOn(conformanceService, revision, { hotPath });

      const names = new Set(required.map(({ name }) => name));
      const outside = new Set(unscored.map(({ name }) => name));
      expect(required.filter(({ ok, passed }) => !ok || passed === 0)).toEqual([]);
      expect(failedChecks.filter((check) => !outside.has(check.split(':')[0] ?? ''))).toEqual([]);
      expect(names.size).toBe(count);
      const tasks = unscored.filter(({ name }) => name.startsWith('tasks-'));
      expect(tasks.filter(({ ok }) => !ok)).toEqual([]);
      expect(tasks.length).toBe(revision === '2026-07-28' ? 10 : 0);
    },
  );
});

/** Scenarios that look at the protocol alone, and what a service must offer for them to find anything. */
const protocolScenarios: Record<string, Readonly<Record<string, 'resources' | 'prompts' | null>>> = {
  '2026-07-28': {
    'tools-list': null,
    'server-sse-multiple-streams': null,
    'resources-list': 'resources',
    'sep-2164-resource-not-found': 'resources',
    'prompts-list': 'prompts',
    'dns-rebinding-protection': null,
    'input-required-result-missing-input-response': null,
    'input-required-result-unsupported-methods': null,
    'input-required-result-ignore-extra-params': null,
    'input-required-result-validate-input': null,
    'http-header-validation': null,
  },
  '2025-11-25': {
    'server-initialize': null,
    ping: null,
    'tools-list': null,
    'server-sse-multiple-streams': null,
    'resources-list': 'resources',
    'prompts-list': 'prompts',
    'dns-rebinding-protection': null,
  },
};

/** Checks of otherwise protocol-level scenarios that cannot pass, each for the reason beside it. */
const needsFixture: Readonly<Record<string, (service: AnyService) => boolean>> = {
  // They call test_missing_capability, test_streaming_elicitation and test_logging_tool.
  'server-stateless:sep-2575-server-rejects-undeclared-capability': () => true,
  'server-stateless:sep-2575-missing-capability-http-400': () => true,
  'server-stateless:sep-2575-http-server-no-independent-requests-on-stream': () => true,
  'server-stateless:sep-2575-server-no-log-without-loglevel': () => true,
  // They have a tool change the lists, which here only a deployment changes: a warning, the hint being a SHOULD.
  'server-stateless:sep-2575-server-sends-tools-list-changed-on-subscription': () => true,
  'server-stateless:sep-2575-server-sends-prompts-list-changed-on-subscription': (service) =>
    !!service.prompts,
  // The methods are not there where there is nothing to list.
  'caching:sep-2549-prompts-list-caching-hints': (service) => !service.prompts,
  'caching:sep-2549-resources-list-caching-hints': (service) => resourcesOf(service).length === 0,
  'caching:sep-2549-resources-templates-list-caching-hints': (service) => resourcesOf(service).length === 0,
};
const checkedOneByOne = ['server-stateless', 'caching'];

const { resources: _resources, prompts: _prompts, ...toolsOnly } = wireService().service;
/** One that offers tools alone, one with resources, one with prompts too; the others are tried with npm run test:faults. */
const realOnes = ['filesystem', 'memory', 'context'];
const services = [
  { name: 'a service with tools, resources and prompts', load: async () => wireService().service },
  { name: 'a service with tools alone', load: async () => toolsOnly as AnyService },
  ...catalogue
    .filter(isService)
    .filter(({ name }) => isWhole || realOnes.includes(name))
    .map(({ name }) => ({ name, load: async () => loadService(name) })),
];

/** What is other than it has to be with one that has no fixtures. */
function complaintsOf(
  { required, unscored, failedChecks }: Verdict,
  revision: string,
  service: Pick<AnyService, 'resources' | 'prompts' | 'tools'>,
): string[] {
  const passed = new Set([...required, ...unscored].filter(({ ok }) => ok).map(({ name }) => name));
  const missing = Object.entries(protocolScenarios[revision] ?? {}).filter(
    ([name, needs]) => (needs === null || service[needs]) && !passed.has(name),
  );
  const tolerated = Object.keys(needsFixture).filter(
    (check) => revision === '2026-07-28' && needsFixture[check]?.(service as AnyService),
  );
  const failed = failedChecks.filter((check) => checkedOneByOne.includes(check.split(':')[0] ?? ''));
  return [
    ...(required.length === requiredCounts[revision] ? [] : [`${required.length} scenarios have been run`]),
    ...missing.map(([name]) => `${name} does not pass`),
    ...failed.filter((check) => !tolerated.includes(check)).map((check) => `${check} fails`),
    ...tolerated.filter((check) => !failed.includes(check)).map((check) => `${check} does not fail`),
  ];
}

describe.concurrent.each(services)('$name', ({ load }) => {
  test.each(['2026-07-28', '2025-11-25'])(
    'holds to the protocol of %s without fixtures',
    async (revision) => {
      const service = await load();

      const verdict = await verdictOn(service, revision);

      expect(complaintsOf(verdict, revision, service)).toEqual([]);
    },
  );
});

test('The gateway holds to the protocol of both revisions with all that every service lists', async () => {
  const names = catalogue.filter(isService).map(({ name }) => name);
  await using fronted = await serveBehind(await Promise.all(names.map(async (name) => loadService(name))));

  for (const revision of Object.keys(requiredCounts)) {
    const verdict = await verdictAt(fronted.gateway, revision);
    expect(complaintsOf(verdict, revision, wireService().service), revision).toEqual([]);
  }
});

describe.concurrent('The suite', () => {
  test('reports a server without the tool that a scenario calls', async () => {
    const tools = toolsOf(conformanceService, {}).filter(({ name }) => name !== 'test_simple_text');

    const { failedChecks } = await verdictOn({ ...conformanceService, tools }, '2026-07-28', {
      scenario: 'tools-call-simple-text',
    });

    expect(failedChecks).toEqual(['tools-call-simple-text:tools-call-simple-text']);
  });

  test('reports a server that lets a foreign Host in', async () => {
    const server = createServer((_request, response) => response.end('{}'));
    await new Promise<void>((done) => {
      server.listen(0, '127.0.0.1', done);
    });
    await using _closing = { [Symbol.asyncDispose]: async () => void server.close() };

    const { port } = server.address() as AddressInfo;
    const { failedChecks } = await runSuite(
      `http://127.0.0.1:${port}`,
      '2026-07-28',
      'dns-rebinding-protection',
    );

    expect(failedChecks).toContain('dns-rebinding-protection:localhost-host-rebinding-rejected');
  });

  test('yields no required scenario, and so no pass, for a revision that it does not know', async () => {
    const { required } = await runSuite('http://127.0.0.1:1', '1999-01-01');

    expect(required).toEqual([]);
  });
});
