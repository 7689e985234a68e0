/** What each caller has open, over HTTP and gRPC together: requests that are not answered to their end, and the bytes of both sides. */

const mostOpen = 1_024;
const mostOpenBytes = 64 * 1024 * 1024;
/** With so few open, answers that nobody reads are not worth adding up. */
const fewOpen = 16;

/** What an answer that is written holds back. */
interface Answer {
  readonly writableLength: number;
}

interface Load {
  readonly open: Set<Answer>;
  bodyBytes: number;
}

/** The room of one request. */
export interface Room {
  /** Of the body, what it takes now. @returns false, and changes nothing, where that would be too much. */
  resize(bodyBytes: number): boolean;
  close(): void;
}

export const hasTooMuchOpen = (caller: string) =>
  `The token "${caller}" has too much open here: read the answers, and try again.`;

export class Loads {
  readonly #loads = new Map<string, Load>();

  /** Room for a request of this caller; `undefined` when that would be too much. */
  open(caller: string, answer: Answer, bodyBytes: number): Room | undefined {
    let load = this.#loads.get(caller);
    if (load && (load.open.size >= mostOpen || openBytes(load) + bodyBytes > mostOpenBytes)) return undefined;
    if (!load) {
      load = { open: new Set(), bodyBytes: 0 };
      this.#loads.set(caller, load);
    }
    const mine = load;
    mine.open.add(answer);
    mine.bodyBytes += bodyBytes;
    return {
      resize: (now) => {
        if (now > bodyBytes && openBytes(mine) + now - bodyBytes > mostOpenBytes) return false;
        mine.bodyBytes += now - bodyBytes;
        bodyBytes = now;
        return true;
      },
      close: () => {
        if (!mine.open.delete(answer)) return;
        mine.bodyBytes -= bodyBytes;
        if (mine.open.size === 0) this.#loads.delete(caller);
      },
    };
  }
}

function openBytes({ open, bodyBytes }: Load): number {
  if (open.size <= fewOpen) return bodyBytes;
  let bytes = bodyBytes;
  for (const answer of open) bytes += answer.writableLength;
  return bytes;
}
