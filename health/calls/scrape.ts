/** `/metrics` of a process, line by line: neither its length nor its slowness can hold up whoever reads it. */
import { get, type IncomingMessage } from 'node:http';

import { mostLineLength } from './exposition.ts';
import { ReadingBuilder, type Reading } from './reading.ts';

const mostBytes = 16 * 1024 * 1024;

/** @throws what keeps it from being read: no connection, no answer in time, an answer without end, another program. */
export async function scrape(
  { name, port }: { readonly name: string; readonly port: number },
  signal: AbortSignal,
): Promise<Reading> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/metrics', agent: false, signal }, resolve).on('error', reject);
  });
  response.setEncoding('utf8');
  const builder = new ReadingBuilder(name);
  let readBytes = 0;
  let rest = '';
  // Leaving the loop ends the connection.
  for await (const part of response as AsyncIterable<string>) {
    readBytes += part.length;
    if (response.statusCode !== 200) throw new Error(`/metrics answers ${response.statusCode}`);
    if (readBytes > mostBytes) throw new Error('/metrics is too long');
    const lines = (rest + part).split('\n');
    // Of a line without end, the beginning is enough to see that it is none of ours.
    rest = (lines.pop() ?? '').slice(0, mostLineLength + 1);
    for (const line of lines) builder.take(line);
  }
  const reading = builder.done();
  if (!reading) throw new Error('/metrics is of another program');
  return reading;
}
