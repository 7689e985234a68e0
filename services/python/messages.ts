/** Messages between the service and the program in a sandbox: a length, a head of JSON, bytes. What comes in is not trusted. */
import { maxHeadBytes, maxImageBytes } from './limits.ts';

export interface Message {
  readonly head: Readonly<Record<string, unknown>>;
  readonly data: Buffer;
}

export function messageOf(head: object, data: Uint8Array = Buffer.of()): Buffer {
  const text = Buffer.from(JSON.stringify({ ...head, bytes: data.length }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, data]);
}

/** What is no message: its sender is not to be listened to any longer. */
export class GarbledError extends Error {
  override readonly name = 'GarbledError';
}

/** Puts messages together from pieces. @throws GarbledError, and what `take` throws. */
export function messageReader(take: (message: Message) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let held = 0;
  let wanted = 4;
  let head: Message['head'] | undefined;
  let isLength = true;

  function next(bytes: Buffer): void {
    if (isLength) {
      wanted = bytes.readUInt32BE();
      if (wanted > maxHeadBytes) throw new GarbledError('too long');
      isLength = false;
      return;
    }
    if (!head) {
      head = headIn(bytes);
      wanted = sizeIn(head);
      if (wanted > 0) return;
    }
    const message = { head, data: wanted > 0 ? bytes : Buffer.of() };
    head = undefined;
    isLength = true;
    wanted = 4;
    take(message);
  }

  return (chunk) => {
    chunks.push(chunk);
    held += chunk.length;
    while (held >= wanted) {
      const all = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
      const bytes = all.subarray(0, wanted);
      chunks = all.length > wanted ? [all.subarray(wanted)] : [];
      held = all.length - wanted;
      next(bytes);
    }
  };
}

function headIn(bytes: Buffer): Message['head'] {
  let head: unknown;
  try {
    head = JSON.parse(bytes.toString());
  } catch (cause) {
    throw new GarbledError('no JSON', { cause });
  }
  if (typeof head !== 'object' || head === null) throw new GarbledError('without a head');
  return head as Message['head'];
}

function sizeIn({ bytes = 0 }: Message['head']): number {
  if (typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes >= 0 && bytes <= maxImageBytes)
    return bytes;
  throw new GarbledError('of a size that is none');
}
