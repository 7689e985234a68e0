/** One exchange over HTTP: a body out, and messages in as they come. Node's own client, because fetch gives up after five minutes. */
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';

/** No answer that a client could use is longer. */
const longestMessage = 64 * 1024 * 1024;
const longestRefusal = 1024 * 1024;

export interface Exchange {
  readonly url: URL;
  readonly method: 'POST' | 'GET' | 'DELETE';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  readonly signal: AbortSignal;
  /** Each message of an answer, as one line without its end. @returns when the next may come. */
  readonly onMessage: (line: string) => Promise<void>;
}

export type Outcome =
  /** All messages came, which may be none. */
  | { readonly kind: 'answered'; readonly headers: IncomingMessage['headers'] }
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly headers: IncomingMessage['headers'];
      readonly text: string;
    }
  /** `wasSent`: the request may have been read, and what it asks for done. */
  | { readonly kind: 'failed'; readonly wasSent: boolean; readonly reason: string };

const neverSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
]);

export async function exchange({
  url,
  method,
  headers,
  body,
  signal,
  onMessage,
}: Exchange): Promise<Outcome> {
  let response: IncomingMessage | undefined;
  try {
    response = await new Promise<IncomingMessage>((resolve, reject) => {
      const send = url.protocol === 'https:' ? requestHttps : requestHttp;
      // A connection of its own: whether a kept one still lives shows only when a request is lost on it.
      const request = send(url, {
        method,
        headers: { ...headers, ...(body && { 'content-length': String(body.length) }) },
        agent: false,
        signal,
      });
      request.on('response', resolve);
      request.on('error', reject);
      request.end(body);
    });
    const { statusCode: status = 0, headers: answered } = response;
    if (status < 200 || status > 299) {
      return { kind: 'refused', status, headers: answered, text: await textOf(response, longestRefusal) };
    }
    if (answered['content-type']?.startsWith('text/event-stream')) {
      for await (const line of eventsIn(response)) await onMessage(line);
    } else {
      const text = asLine(await textOf(response, longestMessage));
      if (text !== '') await onMessage(text);
    }
    return { kind: 'answered', headers: answered };
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    return { kind: 'failed', wasSent: !neverSent.has(code), reason: code || message };
  } finally {
    response?.destroy();
  }
}

async function textOf(response: IncomingMessage, most: number): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > most) throw new Error(`the answer has more than ${most} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Ends of lines in JSON stand between its words: blanks mean the same there. */
const asLine = (text: string) => text.trim().replaceAll(/[\r\n]+/g, ' ');

/** The data of each event in the stream; events without data are left out. */
async function* eventsIn(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  let data: string[] = [];
  let length = 0;
  for await (const chunk of stream) {
    const text = rest + decoder.decode(chunk, { stream: true });
    // The \n of a \r\n may be in the next piece.
    const cut = text.endsWith('\r') ? text.length - 1 : text.length;
    const lines = text.slice(0, cut).split(/\r\n|\r|\n/);
    rest = (lines.pop() ?? '') + text.slice(cut);
    if (rest.length + length > longestMessage)
      throw new Error(`an event has more than ${longestMessage} bytes`);
    for (const line of lines) {
      if (line === '') {
        const event = asLine(data.join('\n'));
        data = [];
        length = 0;
        if (event !== '') yield event;
      } else if (line.startsWith('data:')) {
        data.push(line.slice('data:'.length).replace(/^ /, ''));
        length += line.length;
      }
    }
  }
}
