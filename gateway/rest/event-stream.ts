/** Reads the events of a stream (https://html.spec.whatwg.org/multipage/server-sent-events.html), piece by piece. */
import type { ListenedEvent } from '#runtime/service.ts';

/** An event that goes on longer is none of a service of the fleet. */
const longestEvent = 4 * 1024 * 1024;

export class EventReader {
  #rest = '';
  readonly #decoder = new TextDecoder();

  /** The events that end in this piece. @throws SyntaxError, RangeError for what is no stream of ours */
  take(piece: Uint8Array): readonly ListenedEvent[] {
    const parts = (this.#rest + this.#decoder.decode(piece, { stream: true })).split('\n\n');
    this.#rest = parts.pop() ?? '';
    if (this.#rest.length > longestEvent) throw new RangeError('an event has no end');
    return parts.flatMap((part) => eventIn(part) ?? []);
  }
}

function eventIn(text: string): ListenedEvent | undefined {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf(': ');
    // A comment has no name.
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 2));
  }
  const data = fields.get('data');
  if (data === undefined) return undefined;
  const id = fields.get('id');
  return {
    ...(id !== undefined && { id }),
    event: fields.get('event') ?? 'message',
    data: JSON.parse(data) as object,
  };
}
