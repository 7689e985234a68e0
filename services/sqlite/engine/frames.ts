/** Messages between the service and an engine, over a pipe: values of JavaScript, big integers and bytes included. */
import { deserialize, serialize } from 'node:v8';

const headBytes = 4;

export function frameOf(message: unknown): Buffer {
  const body = serialize(message);
  const frame = Buffer.allocUnsafe(headBytes + body.length);
  frame.writeUInt32LE(body.length);
  body.copy(frame, headBytes);
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
    let bytes = Buffer.concat(parts);
    for (;;) {
      needed = headBytes + (bytes.length < headBytes ? 0 : bytes.readUInt32LE());
      if (bytes.length < headBytes || bytes.length < needed) break;
      receive(deserialize(bytes.subarray(headBytes, needed)));
      bytes = bytes.subarray(needed);
      needed = headBytes;
    }
    parts = [bytes];
    length = bytes.length;
  };
}
