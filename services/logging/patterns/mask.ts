/** What of a message is the same each time, and what is filled in: numbers, ids, addresses, paths and quoted text. */

/** What comes later in a message does not tell two kinds of them apart. */
const maxLength = 2_000;
const maxTokens = 80;
/** Of a message of several lines, so many that begin at its margin: the first, the last of a traceback, each `Caused by`. */
const maxLines = 4;

/** Values of these are words that say what happened; of all others, they are filled in. */
const telling =
  /(?:err|error|errno|code|reason|exception|type|kind|event|msg|message|status|state|cause|name|class|op|method|signal)$/i;

/** The first that fits is taken; each reads no further than it matches, so a text is read once. */
const masks: readonly (readonly [name: string, form: string])[] = [
  ['time', String.raw`\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?`],
  ['time', String.raw`\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?`],
  ['url', String.raw`[a-z][a-z0-9+]{1,15}:\/\/[^\s"'<>,;)\]]{1,1000}`],
  ['id', String.raw`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?!\w)`],
  ['ip', String.raw`\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?:\/\d{1,2})?(?::\d{1,5})?(?![\w.])`],
  [
    'ip',
    String.raw`\[?[0-9a-fA-F]{0,4}:(?=:|[0-9a-fA-F:]{0,40}::|(?:[0-9a-fA-F]{1,4}:){5})[0-9a-fA-F:]{2,40}\]?(?:%\w{1,16})?(?::\d{1,5})?`,
  ],
  ['email', String.raw`[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}`],
  ['path', String.raw`(?:~|\.{1,2}|[A-Z]:)?(?:[\/\\][\w.@%+~=-]{1,255}){2,40}[\/\\]?`],
  ['hex', String.raw`0[xX][0-9a-fA-F]{1,64}(?!\w)`],
  ['id', String.raw`(?=[0-9a-fA-F]{0,63}\d)(?=\d{0,63}[a-fA-F])[0-9a-fA-F]{7,64}(?!\w)`],
  [
    'num',
    String.raw`[+-]?\d[\d_]{0,40}(?:[.,]\d{1,40}){0,8}(?:[eE][+-]?\d{1,4})?(?:%|[a-zA-Zµ]{1,3}(?![\w]))?(?!\w)`,
  ],
];

/**
 * A token at a place: quoted text, what is masked at the beginning of a word, a word, or one sign. Words with digits are looked
 * at by themselves.
 */
const token = new RegExp(
  [
    String.raw`"(?<double>(?:[^"\\\n]|\\.){0,1000})"`,
    String.raw`(?<![\w'])'(?<single>[^'\n]{0,1000})'(?!\w)`,
    String.raw`(?<!\w)(?:${masks.map(([, form], at) => `(?<m${at}>${form})`).join('|')})`,
    String.raw`(?<word>[\p{L}\p{N}_$][\p{L}\p{N}_$.@'-]{0,200})`,
    String.raw`(?<sign>\S)`,
  ].join('|'),
  'gu',
);

export interface Masked {
  /** Words, signs, and what is filled in. An id can be all digits, so numbers and ids are one here. */
  readonly tokens: string[];
  /** The same as they are shown: `<num>`, `<id>` and `<hex>` are told apart. */
  readonly shown: string[];
  /** Whether there is space before each of them. */
  readonly spaced: boolean[];
}

export function masked(message: string): Masked {
  const into: Masked = { tokens: [], shown: [], spaced: [] };
  for (const line of tellingLines(message)) readInto(into, line);
  return into;
}

function readInto(into: Masked, source: string, isSpaced = true): void {
  const { tokens, shown, spaced } = into;
  let end = 0;
  for (const match of source.matchAll(token)) {
    if (tokens.length >= maxTokens) return;
    const groups = match.groups as Record<string, string | undefined>;
    const isApart = match.index > end || (match.index === 0 && isSpaced);
    end = match.index + match[0].length;
    const quoted = groups['double'] ?? groups['single'];
    // `"key": "value"` is a key and its value, as `key=value` is.
    if (quoted !== undefined && isSpoken(source, end, tokens)) {
      readInto(into, quoted.replaceAll('"', ''), isApart);
      continue;
    }
    const shape = quoted === undefined ? shapeOf(groups, tokens) : '<text>';
    const one = shape.replaceAll(/<(?:num|hex)>/g, '<id>');
    if (isOneOfAList(tokens, one)) {
      for (const list of [tokens, shown, spaced]) list.pop();
      continue;
    }
    tokens.push(one);
    shown.push(shape);
    spaced.push(isApart);
  }
}

/** Reads like the messages that it stands for. */
export const readable = ({ shown, spaced }: Pick<Readonly<Masked>, 'shown' | 'spaced'>) =>
  shown.map((one, at) => (at > 0 && spaced[at] ? ` ${one}` : one)).join('');

/** Stack frames say where, and that differs between two errors that are the same. */
function tellingLines(message: string): string[] {
  const [first = '', ...others] = message.slice(0, 16 * maxLength).split('\n', 400);
  const atMargin = others.filter((line) => /^\S/.test(line) && !line.startsWith('at '));
  const lines = [first, ...atMargin.slice(-(maxLines - 1))].filter((line) => line.trim() !== '');
  return lines.map((line) => line.slice(0, maxLength));
}

/** Whether quoted text is a key, or says what happened. */
const isSpoken = (source: string, end: number, tokens: readonly string[]) =>
  source[end] === ':' || (/^[=:]$/.test(tokens.at(-1) ?? '') && telling.test(tokens.at(-2) ?? ''));

function shapeOf(groups: Readonly<Record<string, string | undefined>>, tokens: readonly string[]): string {
  const { word, sign } = groups;
  if (sign !== undefined) return sign;
  if (word === undefined) {
    const mask = masks.find((_, at) => groups[`m${at}`] !== undefined);
    return `<${mask?.[0] ?? 'num'}>`;
  }
  if (tokens.at(-1) === '=' && !telling.test(tokens.at(-2) ?? '')) return '<value>';
  if (methods.has(word)) return '<method>';
  if (!/\d/.test(word)) return word;
  // An id has digits here and there; a name has one number, at its end as a rule.
  const runs = word.match(/\d+/g) ?? [];
  return runs.length > 1 && word.length >= 6 && !/^[\w$-]+(?:\.[\w$-]+)+$/.test(word)
    ? '<id>'
    : word.replaceAll(/\d+/g, '<num>');
}

/** The same thing is done to the same place in a few ways. */
const methods: ReadonlySet<string> = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS']);

const isMask = (one: string | undefined) => one !== undefined && /^<\w+>$/.test(one);

/** `<id>, <id>, <id>`: however many there are, it is the same. */
const isOneOfAList = (tokens: readonly string[], one: string) =>
  isMask(one) && /^[,|]$/.test(tokens.at(-1) ?? '') && tokens.at(-2) === one;
