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
