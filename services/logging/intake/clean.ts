/** What a line must not bring along: escape sequences that act on a terminal, control characters, keys over several lines. */
import { redactedMark } from '#runtime/redaction.ts';

/**
 * Escape sequences as ECMA-48 has them: with parameters (CSI), strings up to their end (OSC, DCS, APC, PM, SOS), and the short
 * ones. A string that does not end goes to the end of the line: so would a terminal read it.
 */
const escapes =
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\u0007\u001b\u009c\n]*(?:\u0007|\u001b\\|\u009c|$)?|\u001b[ -/]*[0-~]?/g;
// oxlint-disable-next-line no-control-regex -- likewise
const controls = /[\0-\u0008\u000b-\u001f\u007f-\u009f]/;
// oxlint-disable-next-line no-control-regex -- likewise
const allControls = /[\0-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Without escape sequences; what is left of control characters is shown as `\x00`. Tabs and line ends stay. */
export function withoutEscapes(text: string): string {
  if (!controls.test(text)) return text;
  return text
    .replace(escapes, '')
    .replaceAll('\r\n', '\n')
    .replace(allControls, (one) => `\\x${one.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

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

/**
 * For lines that follow each other: a key that stands over several of them is redacted in each. A line that has nothing of a key
 * stays: a message that only speaks of a key must not hide what comes after it.
 */
export function withoutKeyLines(): (text: string) => string {
  let left = 0;
  let wasKey = false;
  return (text) => {
    if (left > 0) {
      const isEnd = text.includes('-----END ');
      left = isEnd ? 0 : left - 1;
      // The last piece is short, and looks like a word.
      const isPiece = isEnd || onlyKey.test(text) || (wasKey ? endOfKey : pieceOfKey).test(text);
      wasKey = !isEnd && pieceOfKey.test(text);
      return isPiece ? redactedMark : text;
    }
    if (text.includes('-----BEGIN ') && /PRIVATE KEY/.test(text) && !text.includes('-----END '))
      left = mostKeyLines;
    return text;
  };
}

/** A key of 16,384 bits has 200. */
const mostKeyLines = 250;
/** As PEM has them: 64 to 76 characters in a line, the last one fewer; other things may stand in front. */
const onlyKey = /^\s*=?[\w+/]{1,100}={0,2}\s*$/;
const pieceOfKey = /[\w+/]{40,100}={0,2}(?:\\n)?["',]{0,3}\s{0,3}$/;
const endOfKey = /[\w+/]={0,2}(?:\\n)?["',]{0,3}\s{0,3}$/;

const secretName =
  /(?:^|[._-])(?:(?:pass(?:word|wd|phrase)?|pwd|secret|authorization|cookie|set-cookie|api[-_]?key|(?:access|secret|private|account)[-_]?key|credential)s?(?:$|\.)|token$)/i;
const secretInCamelCase =
  /[a-z\d](?:Pass(?:word|wd|phrase)?s?|Pwd|Secrets?|Token|ApiKeys?|APIKeys?|(?:Access|Secret|Private|Account)Keys?|Credentials?|Cookies?)(?:$|\.)/;

/** Whether a field of this name, or of one within it, holds a secret, whatever it looks like. */
export const isSecretName = (name: string) => secretName.test(name) || secretInCamelCase.test(name);
