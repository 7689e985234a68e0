/** The bridge as a program of its own, as it lies in the bundle: told by its environment where the fleet answers, and with which token. */
import { readFileSync } from 'node:fs';

import { bridge } from './bridge.ts';

const { FLOTILLA_URL = 'http://127.0.0.1:8000/mcp', FLOTILLA_TOKEN = '' } = process.env;

/** The token itself, or the file that it stands in. */
function token(): string {
  if (!FLOTILLA_TOKEN.startsWith('/')) return FLOTILLA_TOKEN.trim();
  try {
    return readFileSync(FLOTILLA_TOKEN, 'utf8').trim();
  } catch {
    throw new Error(`The token cannot be read from ${FLOTILLA_TOKEN}: name the file again in the settings.`);
  }
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
await bridge({
  url: new URL(FLOTILLA_URL),
  token,
  input: process.stdin,
  output: process.stdout,
  tell: (line) => void process.stderr.write(`flotilla: ${line}\n`),
  remedy: 'Start the fleet: flotilla start',
  stop: stop.signal,
});
process.stdin.destroy();
