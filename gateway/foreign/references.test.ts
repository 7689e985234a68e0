import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { openReferences } from './references.ts';

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const secretsFile = join(folder.path, 'upstreams.env');
const held = join(folder.path, 'held');
writeFileSync(secretsFile, 'FILED="from the file"\nBOTH=file\n');
writeFileSync(held, 'in a file of its own\n');
const references = () => openReferences(secretsFile, { BOTH: 'environment' });

test.each([
  ['Bearer ${FILED}', 'Bearer from the file'],
  ['${BOTH}', 'environment'],
  [`\${file:${held}}`, 'in a file of its own'],
  ['$${FILED} and $PLAIN', '${FILED} and $PLAIN'],
])('%s', (text, resolved) => {
  expect(references().resolve(text)).toBe(resolved);
});

test.each([
  ['${NONE}', 'The variable NONE is not set. Put it into '],
  ['${}', 'The variable  is not set.'],
  ['${file:/no/such}', 'The file /no/such cannot be read (ENOENT)'],
])('%s is refused', (text, message) => {
  expect(() => references().resolve(text)).toThrow(message);
});

test('what was put in is taken out of what is told', () => {
  const opened = references();
  opened.resolve('${FILED}');

  expect(opened.redact('it said "from the file" twice: from the file')).toBe(
    'it said "[FILED]" twice: [FILED]',
  );
});
