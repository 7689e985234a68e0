/** A local server that speaks the protocol of embeddings endpoints. Its model knows a few subjects by their words. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const subjects = [
  ['martial', 'taekwondo', 'judo', 'kickboxing', 'fighting'],
  ['food', 'soup', 'bread', 'dinner', 'cooking'],
  ['weather', 'rain', 'storm', 'sunshine', 'wet'],
];

function meaningOf(text: string, dimensions: number): number[] {
  const words = new Set(text.toLowerCase().match(/[a-z]+/g));
  const known = subjects.map((subject) => subject.filter((word) => words.has(word)).length);
  return Array.from({ length: dimensions }, (_, i) => (known[i] ?? 0) + 0.01 * (1 + (text.length % (i + 2))));
}

interface Request {
  readonly model?: string;
  readonly input: string[];
}

type Answer = (request: Request, response: ServerResponse) => void;

const json = (response: ServerResponse, value: unknown, status = 200) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));

/** As OpenAI and llama.cpp answer, in any order. */
export const openAi =
  (dimensions = 40): Answer =>
  ({ input }, response) =>
    json(response, {
      object: 'list',
      data: input.map((text, index) => ({ index, embedding: meaningOf(text, dimensions) })).toReversed(),
    });

/** As Ollama answers at /api/embed. */
export const ollama: Answer = ({ input, model }, response) =>
  json(response, { model, embeddings: input.map((text) => meaningOf(text, 40)) });

export const answering =
  (text: string, status = 200): Answer =>
  (_, response) =>
    response.writeHead(status, { location: '/elsewhere' }).end(text);

/** Takes no text with that word, and none that is longer. */
export const refusing =
  (word: string, length: number): Answer =>
  (request, response) =>
    request.input.some((text) => text.includes(word) || text.length > length)
      ? json(response, { error: 'input is too large to process' }, 500)
      : openAi()(request, response);

export async function startEndpoint(answer: Answer) {
  const seen: { headers: IncomingMessage['headers']; request: Request }[] = [];
  const current = { answer };
  const server = createServer((incoming, response) => {
    let body = '';
    incoming.setEncoding('utf8');
    incoming.on('data', (chunk: string) => (body += chunk));
    incoming.on('end', () => {
      const request = JSON.parse(body) as Request;
      seen.push({ headers: incoming.headers, request });
      current.answer(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    url: `http://127.0.0.1:${port}/v1/embeddings`,
    seen,
    texts: () => seen.flatMap(({ request }) => request.input),
    answerWith: (next: Answer) => void (current.answer = next),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
