/** All that both revisions require, through the gateway, with the fixture service behind it. */
import { expect, test } from 'vitest';

import { serveBehind } from './support/fronted.ts';
import { forwardWithToken } from './support/conformance-forwarder.ts';
import { conformanceService } from './support/conformance-service.ts';
import { runSuite } from './support/conformance-suite.ts';

/** How many scenarios each revision requires: a run of fewer is no run. */
const required = { '2026-07-28': 37, '2025-11-25': 30 };

test.concurrent.for(Object.entries(required))(
  'the gateway passes all that %s requires, which are %d scenarios',
  async ([revision, count]) => {
    await using fronted = await serveBehind([conformanceService]);
    await using forwarder = await forwardWithToken(fronted.gateway);

    const verdict = await runSuite(forwarder.url, revision);

    expect(verdict.required.filter(({ ok, passed }) => !ok || passed === 0)).toEqual([]);
    expect(new Set(verdict.required.map(({ name }) => name)).size).toBe(count);
  },
);
