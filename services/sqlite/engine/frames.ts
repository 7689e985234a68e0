/** Messages between the service and an engine, over a pipe: JSON, with its length before it. */
import { readSync, writeSync } from 'node:fs';

const headBytes = 4;

export function frameOf(message: unknown): Buffer {
  const text = JSON.stringify(message);
  const length = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(headBytes + length);
  frame.writeUInt32LE(length);
  frame.write(text, headBytes);
  return frame;
}

/** Takes bytes as they come, and hands on each message that is whole. */
export function unframed(receive: (message: unknown) => void): (chunk: Buffer) => void {
  let parts: Buffer[] = [];
  let length = 0;
  let needed = headBytes;
  return (chunk) => {
    parts.push(chunk);
    length += chunk.length;
    if (length < needed) return;
    let bytes = parts.length === 1 ? chunk : Buffer.concat(parts);
    for (;;) {
      needed = headBytes + (bytes.length < headBytes ? 0 : bytes.readUInt32LE());
      if (bytes.length < headBytes || bytes.length < needed) break;
      receive(JSON.parse(bytes.toString('utf8', headBytes, needed)));
      bytes = bytes.subarray(needed);
      needed = headBytes;
    }
    parts = bytes.length === 0 ? [] : [bytes];
    length = bytes.length;
  };
}

/** Writes a message, and returns when all of it is on its way. */
export function send(fd: number, message: unknown): void {
  const frame = frameOf(message);
  for (let at = 0; at < frame.length;) at += writeSync(fd, frame, at);
}

/** @returns what waits for the next message, and holds the thread meanwhile: `undefined` at the end. */
export function receiver(fd: number): () => unknown {
  const ready: unknown[] = [];
  const take = unframed((message) => ready.push(message));
  const buffer = Buffer.allocUnsafe(64 * 1024);
  return () => {
    while (ready.length === 0) {
      const length = readSync(fd, buffer, 0, buffer.length, null);
      if (length === 0) return undefined;
      // What is kept of it must not be written over by what comes next.
      take(Buffer.from(buffer.subarray(0, length)));
    }
    return ready.shift();
  };
}
