/** A process that exports without an end: `node exporter.fixture.ts ROOT DATA`. */
import { testPlace } from './place.fixture.ts';

const [, , root, dataDir] = process.argv;
const query = 'WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';
await testPlace({ root, dataDir }).call('export_csv', { query, path: 'never.csv' });
