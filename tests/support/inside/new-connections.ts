/**
 * new-connections.ts PORT PER_SECOND FILE: asks for /health on new connections at this rate, whatever comes back, until FILE
 * is there. Prints { sent, answered, failures: { CODE: count }, longestMs }.
 */
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { performance } from 'node:perf_hooks';

const [port = '', perSecond = '', file = ''] = process.argv.slice(2);
const longestWaitMs = 20_000;

const outcome = { sent: 0, answered: 0, failures: {} as Record<string, number>, longestMs: 0 };

async function ask(): Promise<void> {
  const startedAt = performance.now();
  outcome.sent += 1;
  const failure = await new Promise<string | undefined>((done) => {
    const asked = request({ host: '127.0.0.1', port, path: '/health', agent: false }, (response) => {
      response.on('end', () =>
        done(response.statusCode === 200 ? undefined : `status ${response.statusCode}`),
      );
      response.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
      response.resume();
    });
    asked.setTimeout(longestWaitMs, () => asked.destroy(new Error('no answer')));
    asked.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    asked.end();
  });
  if (failure === undefined) outcome.answered += 1;
  else outcome.failures[failure] = (outcome.failures[failure] ?? 0) + 1;
  outcome.longestMs = Math.max(outcome.longestMs, Math.round(performance.now() - startedAt));
}

const asked: Promise<void>[] = [];
const timer = setInterval(
  () => {
    if (!existsSync(file)) {
      asked.push(ask());
      return;
    }
    clearInterval(timer);
    void Promise.all(asked).then(() => process.stdout.write(`${JSON.stringify(outcome)}\n`));
  },
  1_000 / Number(perSecond),
);
