/** A tar as somebody else may have made it. */
import { Header, type types } from 'tar';

export interface TarEntry {
  readonly path: string;
  readonly text?: string;
  readonly type?: types.EntryTypeName;
  readonly linkpath?: string;
  readonly size?: number;
}

export function tarOf(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const { path, text = '', type = 'File', linkpath, size = Buffer.byteLength(text) } of entries) {
    const header = Buffer.alloc(512);
    new Header({ path, size, type, mode: 0o644, ...(linkpath !== undefined && { linkpath }) }).encode(header);
    const body = Buffer.alloc(Math.ceil(Buffer.byteLength(text) / 512) * 512);
    body.write(text);
    blocks.push(header, body);
  }
  return Buffer.concat([...blocks, Buffer.alloc(1_024)]);
}
