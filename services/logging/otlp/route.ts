import { otlpRoute } from '#runtime/otlp/route.ts';

import type { Logging } from '../logging.ts';

export const otlpLogs = otlpRoute<Logging>(
  '/v1/logs',
  'rejectedLogRecords',
  async (request, { store }, owner) => (await store.otlp({ ...request, owner })).refused,
);
