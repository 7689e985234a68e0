/** Bytes of others as text. */

/** Bytes that are no UTF-8 stay readable, and are told from any character: `\xff`. */
export function textOf(bytes: Buffer): { readonly text: string; readonly isBinary: boolean } {
  try {
    return { text: strict.decode(bytes), isBinary: false };
  } catch {
    // Up to each place that is wrong, the text is right.
  }
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const length = lengthAt(bytes, at);
    if (length === 0) text += `\\x${(bytes[at] ?? 0).toString(16).padStart(2, '0')}`;
    else text += bytes.toString('utf8', at, at + length);
    at += Math.max(length, 1);
  }
  return { text, isBinary: true };
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** How many bytes the character here has; 0 where none begins. RFC 3629, section 4. */
function lengthAt(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  const length =
    first >= 0xc2 && first < 0xe0
      ? 2
      : first >= 0xe0 && first < 0xf0
        ? 3
        : first >= 0xf0 && first < 0xf5
          ? 4
          : 0;
  const second = bytes[at + 1] ?? 0;
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (length === 0 || at + length > bytes.length || second < least || second > most) return 0;
  for (let next = 2; next < length; next += 1) if (((bytes[at + next] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}
