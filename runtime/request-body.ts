/** The body of a request that a route reads itself. */
import { ToolError } from './errors.ts';

/** @throws ToolError `too_large` for more bytes; the rest is not read. */
export async function bodyOf(request: Request, mostBytes: number): Promise<Uint8Array> {
  const tooLong = () => new ToolError('too_large', `The request has more than ${mostBytes} bytes.`);
  if (Number(request.headers.get('content-length') ?? 0) > mostBytes) throw tooLong();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.length;
    if (bytes > mostBytes) throw tooLong();
    parts.push(part);
  }
  const body = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}
