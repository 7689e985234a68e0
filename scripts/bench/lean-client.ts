/**
 * A client of MCP that costs little: requests written by hand over kept connections, one at a time on each. Node's own client takes more
 * of a processor than the server that it asks, and where both share the cores it is the client that would be measured.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import type { Rpc } from './message.ts';
import { toolCall } from './requests.ts';

const headEnd = '\r\n\r\n';
const lastChunk = '0\r\n\r\n';
const eventMark = '\ndata: ';

/** What stands before and behind the arguments of a call, which are all that differs between two calls of a tool. */
interface Frame {
  readonly head: string;
  readonly before: string;
  readonly behind: string;
}

const slot = '{"slot":1}';

function frameOf(url: URL, token: string, tool: string): Frame {
  const { headers, body } = toolCall(token, tool, JSON.parse(slot) as Record<string, unknown>);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const [before = '', behind = ''] = body.split(slot);
  return { head: ['POST /mcp HTTP/1.1', `host: ${url.host}`, ...lines].join('\r\n'), before, behind };
}

/** An answer once it is whole; `undefined` before. Text is read as bytes until then, so that lengths are those of the wire. */
function bodyOf(received: string): string | undefined {
  const end = received.indexOf(headEnd);
  if (end < 0) return undefined;
  const length = /\r\ncontent-length: (\d+)/i.exec(received.slice(0, end));
  const body = received.slice(end + headEnd.length);
  if (length) return body.length < Number(length[1]) ? undefined : body;
  if (!body.endsWith(lastChunk)) return undefined;
  let text = '';
  for (let at = 0; ;) {
    const line = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.slice(at, line), 16);
    if (!(size > 0)) return text;
    text += body.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
}

/** One connection, and the request that waits on it for its answer. */
class Line {
  readonly #socket: Socket;
  #received = '';
  #waiting: { readonly resolve: (body: string) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (part: string) => this.#take(part));
    socket.on('error', (error) => this.#waiting?.reject(error));
    socket.on('close', () => this.#waiting?.reject(new Error(`The connection ended: ${this.#received}`)));
  }

  #take(part: string): void {
    this.#received += part;
    const body = bodyOf(this.#received);
    if (body === undefined) return;
    const waiting = this.#waiting;
    const isGood = this.#received.startsWith('HTTP/1.1 200');
    this.#received = '';
    this.#waiting = undefined;
    if (isGood) waiting?.resolve(Buffer.from(body, 'latin1').toString());
    else waiting?.reject(new Error(body.slice(0, 300)));
  }

  async ask(text: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#waiting = { resolve, reject };
    this.#socket.write(text);
    return promise;
  }

  end(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }
}

/** Calls tools; as many at once as there are connections, the others in turn. */
export function leanClient(place: { readonly url: string; readonly token: string }, connections: number) {
  const url = new URL(place.url);
  const frames = new Map<string, Frame>();
  const idle: Line[] = [];
  const lines: Line[] = [];
  const queue: ((line: Line) => void)[] = [];
  let opened = 0;

  async function line(): Promise<Line> {
    const free = idle.pop();
    if (free) return free;
    if (opened >= connections) return new Promise((resolve) => queue.push(resolve));
    opened += 1;
    const socket = connect(Number(url.port), url.hostname);
    await once(socket, 'connect');
    const made = new Line(socket);
    lines.push(made);
    return made;
  }

  function giveBack(one: Line): void {
    const next = queue.shift();
    if (next) next(one);
    else idle.push(one);
  }

  return {
    /** @throws Error when it was not done. */
    // oxlint-disable-next-line typescript/no-explicit-any -- what tools answer is read field by field
    call: async (tool: string, args: Readonly<Record<string, unknown>>): Promise<any> => {
      let frame = frames.get(tool);
      if (!frame) frames.set(tool, (frame = frameOf(url, place.token, tool)));
      const body = `${frame.before}${JSON.stringify(args)}${frame.behind}`;
      const one = await line();
      const answer = await one.ask(
        `${frame.head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
      giveBack(one);
      // What waits is answered with a stream, whose last event it is.
      const event = answer.startsWith('{') ? -1 : answer.lastIndexOf(eventMark);
      const { result } = JSON.parse(event < 0 ? answer : answer.slice(event + eventMark.length)) as Rpc;
      if (!result || result['isError']) throw new Error(`${tool}: ${answer.slice(0, 300)}`);
      return result['structuredContent'];
    },
    [Symbol.dispose]() {
      for (const one of lines) one.end();
    },
  };
}
