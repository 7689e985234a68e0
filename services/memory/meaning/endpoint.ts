/**
 * An embeddings endpoint as OpenAI, Ollama and llama.cpp serve it: texts go in as `{ model, input }`, and vectors come back as
 * `{ data: [{ index, embedding }] }` or `{ embeddings }`. Whatever it answers is checked. Errors name its host alone: the key,
 * and what else stands in its address, are nobody's to read.
 */
import { z } from 'zod';

import { ConfigError } from '#runtime/errors.ts';

export interface EndpointSettings {
  readonly url: string;
  readonly model: string;
  readonly key?: string | undefined;
}

/** Why there are no vectors, in words. */
export class EndpointError extends Error {
  override readonly name = 'EndpointError';
  /** Whether it is for the texts that it refused: others may do. */
  readonly isRefusal: boolean;

  constructor(message: string, { isRefusal = false, cause }: { isRefusal?: boolean; cause?: unknown } = {}) {
    super(message, { cause });
    this.isRefusal = isRefusal;
  }
}

const loopback = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
const mostAnswerBytes = 32_000_000;
const mostDimensions = 8_192;
/** Answers of those who do not want a text: too long, above all. llama.cpp says 500. */
const refusals: readonly number[] = [400, 413, 422, 500];

const vector = z.array(z.number()).min(2).max(mostDimensions);
const answerForm = z.union([
  z.object({ data: z.array(z.object({ index: z.int().min(0).optional(), embedding: vector })) }),
  z.object({ embeddings: z.array(vector) }),
]);

/** The setting with the address. A key goes over the network under TLS alone. */
export const endpointUrl = z
  .url({
    protocol: /^https?$/,
    error: 'must be a URL like http://127.0.0.1:11434/v1/embeddings',
    abort: true,
  })
  .refine((url) => {
    const { username, password } = new URL(url);
    return username === '' && password === '';
  }, 'must hold no user or password: set FLOTILLA_MEMORY_EMBEDDINGS_KEY');

/** @throws ConfigError where the key would go over the network for all to read. */
export function checked(settings: EndpointSettings): EndpointSettings {
  const { protocol, hostname } = new URL(settings.url);
  if (settings.key !== undefined && protocol !== 'https:' && !loopback.test(hostname)) {
    throw new ConfigError(
      'FLOTILLA_MEMORY_EMBEDDINGS_KEY would go over the network for all to read: FLOTILLA_MEMORY_EMBEDDINGS_URL must begin with https, or lead to this host.',
    );
  }
  return settings;
}

export function openEndpoint({ url, model, key }: EndpointSettings) {
  const { host } = new URL(url);

  /** One vector of length 1 for each text, in their order. @throws EndpointError. */
  return async function embed(
    texts: readonly string[],
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Float32Array[]> {
    const timeout = AbortSignal.timeout(timeoutMs);
    let status: number;
    let body: string;
    try {
      const response = await fetch(url, {
        method: 'POST',
        // Another address would get the texts and the key.
        redirect: 'error',
        headers: {
          'content-type': 'application/json',
          ...(key !== undefined && { authorization: `Bearer ${key}` }),
        },
        body: JSON.stringify({ ...(model !== '' && { model }), input: texts }),
        signal: AbortSignal.any([signal, timeout]),
      });
      status = response.status;
      body = await textOf(response);
    } catch (error) {
      if (error instanceof EndpointError) throw error;
      throw new EndpointError(
        timeout.aborted
          ? `The embeddings endpoint at ${host} did not answer within ${timeoutMs} ms.`
          : `The embeddings endpoint at ${host} cannot be reached (${codeOf(error)}).`,
      );
    }
    if (status !== 200) {
      throw new EndpointError(`The embeddings endpoint at ${host} answered with HTTP ${status}.`, {
        isRefusal: refusals.includes(status),
      });
    }
    const vectors = vectorsIn(body);
    if (vectors?.length !== texts.length) {
      throw new EndpointError(
        `The embeddings endpoint at ${host} answered with something else than ${texts.length} vectors.`,
      );
    }
    return vectors;
  };

  async function textOf(response: Response): Promise<string> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > mostAnswerBytes)
        throw new EndpointError(`The embeddings endpoint at ${host} answered with too much.`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }
}

/** `undefined` for what is no list of vectors of one size. */
function vectorsIn(body: string): Float32Array[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  const { data: answer } = answerForm.safeParse(value);
  if (!answer) return undefined;
  const lists =
    'embeddings' in answer
      ? answer.embeddings
      : answer.data
          .map(({ index, embedding }, place) => ({ index: index ?? place, embedding }))
          .toSorted((x, y) => x.index - y.index)
          .map(({ embedding }) => embedding);
  const vectors = lists.map(normalized).filter((each) => each !== undefined);
  const isWhole = vectors.length === lists.length && new Set(vectors.map(({ length }) => length)).size <= 1;
  return isWhole ? vectors : undefined;
}

function normalized(numbers: readonly number[]): Float32Array | undefined {
  const length = Math.hypot(...numbers);
  return length > 0 && Number.isFinite(length)
    ? Float32Array.from(numbers, (number) => number / length)
    : undefined;
}

/** As Node names it; never its message, which may hold the address. */
function codeOf(error: unknown): string {
  for (let each = error; each instanceof Error; each = each.cause) {
    if ('code' in each && typeof each.code === 'string') return each.code;
  }
  return 'no connection';
}
