import { expect, test } from 'vitest';

import { matchUri } from './uri-template.ts';

test.each([
  { template: 'memory://graph', uri: 'memory://graph', variables: {} },
  { template: 'memory://entity/{name}', uri: 'memory://entity/Ada', variables: { name: 'Ada' } },
  {
    template: 'memory://entity/{name}',
    uri: 'memory://entity/Ada%2FLovelace%20',
    variables: { name: 'Ada/Lovelace ' },
  },
  { template: 'a://{x}/b/{y}.txt', uri: 'a://1/b/2.txt', variables: { x: '1', y: '2' } },
  { template: 'a://{x}/b', uri: 'a:///b', variables: undefined },
  { template: 'a://{x}', uri: 'a://1/2', variables: undefined },
  { template: 'a://{x}', uri: 'a://', variables: undefined },
  { template: 'a://{x}', uri: 'b://1', variables: undefined },
  { template: 'a://{x}/b', uri: 'a://1/c', variables: undefined },
  { template: 'a://{x}', uri: 'a://%E0%A4%A', variables: undefined },
  { template: 'memory://graph', uri: 'memory://graph2', variables: undefined },
])('$uri against $template gives $variables', ({ template, uri, variables }) => {
  expect(matchUri(template, uri)).toEqual(variables);
});

test('A hostile URI is matched in a time that grows with its length alone', () => {
  const template = `a://${'{x}-'.repeat(20)}end`;

  const startedAt = performance.now();
  matchUri(template, `a://${'-'.repeat(1_000_000)}`);

  expect(performance.now() - startedAt).toBeLessThan(500);
});
