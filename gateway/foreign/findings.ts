/**
 * What is odd about the definitions of a foreign server, at first sight: shown to the operator, and nothing is hidden by
 * it. Whoever wants to deceive finds words that are not here; so definitions are pinned, too.
 */

export interface Definition {
  readonly kind: 'tool' | 'prompt' | 'instructions';
  readonly name: string;
  /** What models see of it. */
  readonly value: Readonly<Record<string, unknown>>;
}

export const findingKinds = {
  hidden: 'characters that people do not see',
  orders: 'orders to the model about something else than this tool',
  secrecy: 'asks to keep something from the user',
  secrets: 'names places of secrets',
  sending: 'asks to send something to an address',
  markup: 'marks that stand for a system prompt',
  pushing: 'pushes itself before other tools',
  names_others: 'names tools of others',
  shadows: 'has the name of another tool',
  look_alike: 'has a name that looks like another one',
  encoded: 'has text that people cannot read',
  long: 'is very long',
  malformed: 'is not as the protocol asks for it',
} as const;

export type FindingKind = keyof typeof findingKinds;

export interface Finding {
  readonly kind: FindingKind;
  /** `tool read_file`. */
  readonly subject: string;
  /** Where in it: `inputSchema.properties.path.description`. */
  readonly place: string;
  /** A part of the text, with what is not seen made visible. */
  readonly text: string;
}

/** Names that are there already, with whose they are. */
export type OtherNames = ReadonlyMap<string, string>;

/** Longer definitions are not looked over, and not offered. */
export const longestDefinition = 64 * 1024;
const longText = 5_000;
const mostFindings = 20;

export const findingsOf = (definition: Definition, others: OtherNames): readonly Finding[] =>
  [...findingsInText(definition), ...findingsOfNames(definition, others)].slice(0, mostFindings);

/** Of its words alone: they stay the same as long as the definition does. */
export function findingsInText(definition: Definition): readonly Finding[] {
  const subject = subjectOf(definition);
  const found: Finding[] = [];
  for (const { place, text } of textsOf(definition)) {
    for (const [kind, at, length] of oddities(text))
      found.push({ kind, subject, place, text: excerpt(text, at, length) });
    if (text.length > longText)
      found.push({ kind: 'long', subject, place, text: `${text.length} characters` });
  }
  return found.slice(0, mostFindings);
}

/** Of the name that it goes by, and the names that stand in its words, beside those of others. */
export function findingsOfNames(
  definition: Definition,
  others: OtherNames,
  outward = definition.name,
): readonly Finding[] {
  const subject = subjectOf(definition);
  const found: Finding[] = [];
  for (const { place, text } of textsOf(definition)) {
    const named = otherNamed(text, definition.name, others);
    if (named) found.push({ kind: 'names_others', subject, place, text: excerpt(text, ...named) });
  }
  if (definition.kind === 'tool') found.push(...aboutName(outward, subject, others));
  return found.slice(0, mostFindings);
}

export const subjectOf = ({ kind, name }: Pick<Definition, 'kind' | 'name'>): string =>
  kind === 'instructions' ? kind : `${kind} ${visible(name)}`;

interface Text {
  readonly place: string;
  readonly text: string;
}

/** All that a model reads: values, and the names of fields. */
function textsOf({ name, value }: Definition): readonly Text[] {
  const texts: Text[] = [{ place: 'name', text: name }];
  const walk = (part: unknown, place: string, depth: number) => {
    if (typeof part === 'string') texts.push({ place, text: part });
    if (typeof part !== 'object' || part === null || depth > 30) return;
    for (const [key, inner] of Object.entries(part)) {
      const here = place === '' ? key : `${place}.${key}`;
      if (!/^[\w$-]+$/.test(key)) texts.push({ place: here, text: key });
      walk(inner, here, depth + 1);
    }
  };
  walk(value, '', 0);
  return texts;
}

/** Every expression is bounded in what it looks over, so that a long text takes no longer than its length. */
const expressions: readonly (readonly [FindingKind, RegExp])[] = [
  [
    'orders',
    /\b(?:after|before|with|on) (?:each|every)\b[^.]{0,60}\b(?:also|additionally|as well)\b|\bfrom now on\b|\bfor the rest of (?:this|the) (?:session|conversation|chat)\b/i,
  ],
  [
    'orders',
    /\b(?:skip|bypass|omit|suppress|disable)\b[^.]{0,20}\b(?:user |human )?(?:confirmations?|approvals?|consent|permission prompts?)\b/i,
  ],
  [
    'secrets',
    /(?<![\w/.-])\.env\b(?!ironment)|\b(?:user's|users'|your) (?:\w+ )?(?:passwords?|credentials?|api keys?|private keys?|ssh keys?|secrets?)\b|\b(?:api keys?|passwords?|credentials?|secrets?)\b[^.]{0,20}\b(?:from|in|of) (?:the|your|its) environment\b/i,
  ],
  [
    'secrets',
    /\b(?:[Cc]op(?:y|ies)|[Rr]eads?|[Ss]ends?|[Pp]ass|[Ii]ncludes?|[Vv]alue of|[Cc]ontents? of|[Gg]ives?)\b[^.]{0,60}\b[A-Z][A-Z_]*(?:SECRET|API_KEY|ACCESS_KEY|PASSWORD|PRIVATE_KEY)[A-Z_]*\b/,
  ],
  [
    'secrets',
    /\b(?:full|whole|entire|complete|all of the)\b[^.]{0,20}\b(?:chat|conversation|dialogue|message history|context window)\b/i,
  ],
  [
    'markup',
    /<!--|\[(?:system|important|admin|hidden|override)\]|\bsystem (?:notes?|instructions?|directives?|notices?)\b|\bnotes? (?:to|for) (?:the |any )?(?:assistant|model|ai|llm|agent)s?\b/i,
  ],
  [
    'pushing',
    /\b(?:must|always|should)\b[^.]{0,30}\b(?:call|use|invoke|run)\b[^.]{0,40}\btool\b[^.]{0,20}\bfirst\b/i,
  ],
  [
    'orders',
    /\b(?:ignore|disregard|forget|override|bypass)\b[^.]{0,60}\b(?:previous|prior|earlier|above|preceding|all|any|other|system|safety)\b[^.]{0,40}\b(?:instruction|prompt|rule|guideline|message|direction|polic|restriction)/i,
  ],
  [
    'orders',
    /\byou (?:are now|have to act as|must pretend)\b|\bnew (?:system )?(?:instructions|rules) (?:are|apply|follow)\b/i,
  ],
  [
    'orders',
    /\b(?:when|whenever|if|before|after|each time)\b[^.]{0,80}\b(?:user|assistant|model|agent|conversation)\b[^.]{0,80}\b(?:also|secretly|silently|quietly|additionally)\b/i,
  ],
  [
    'secrecy',
    /\b(?:do not|don't|never|must not|avoid|without)\b[^.]{0,40}\b(?:tell|mention|inform|reveal|show|notify|alert|disclose|telling|mentioning|informing|revealing|showing|notifying|alerting|disclosing|asking)\b[^.]{0,40}\b(?:users?|humans?|anyone|anybody|them|operator|person)\b/i,
  ],
  [
    'secrecy',
    /\b(?:secretly|covertly|in secret|behind the scenes|unnoticed)\b|\b(?:hide|conceal)\b[^.]{0,40}\bfrom (?:the )?(?:user|human|person)/i,
  ],
  [
    'secrets',
    /(?:~|\$HOME|\/home\/\w+|\/root)?\/?\.(?:ssh|aws|gnupg|kube|netrc|npmrc|docker\/config|config\/gcloud|cursor\/mcp|bash_history|git-credentials)\b|\bid_(?:rsa|ed25519|ecdsa)\b|\/etc\/(?:passwd|shadow|sudoers)\b|\bmcp\.json\b|\bclaude_desktop_config\b/i,
  ],
  [
    'secrets',
    /\b(?:read|send|pass|include|attach|append|copy|collect|provide|give|put)\b[^.]{0,60}\b(?:private keys?|environment variables|system prompt|conversation history|chat history|entire conversation|whole conversation|all (?:previous )?messages|credentials of|passwords? of)\b/i,
  ],
  [
    'sending',
    /\b(?:send|post|upload|forward|transmit|exfiltrate|bcc|copy|report|submit)\b[^.\n]{0,80}(?:https?:\/\/(?!localhost|127\.)[\w.-]+|\b[\w.+-]+@[\w-]+\.[\w.]+)/i,
  ],
  [
    'markup',
    /<\s*\/?\s*(?:important|system|instructions?|secret|hidden|admin|assistant|override|critical|sys)\s*>|<\|(?:im_start|im_end|system|endoftext)\|>|\[\/?INST\]|^\s*(?:#+ )?system(?: prompt)?:\s/im,
  ],
  [
    'pushing',
    /\b(?:before|instead of|prior to|rather than)\b[^.]{0,40}\b(?:any|all|every|each|other)\b[^.]{0,20}\b(?:other )?tools?\b|\b(?:must|always|should)\b[^.]{0,30}\b(?:call|use|invoke|run)\b[^.]{0,30}\bthis (?:tool|function)\b[^.]{0,30}\b(?:first|before)\b|\b(?:other|alternative) tools? (?:is|are) (?:deprecated|broken|unsafe|wrong)/i,
  ],
  [
    'encoded',
    /data:[\w/+.-]+;base64,|(?<![A-Za-z0-9+/])(?=[A-Za-z0-9+/]{0,100}[a-z])(?=[A-Za-z0-9+/]{0,100}[A-Z])(?=[A-Za-z0-9+/]{0,100}\d)[A-Za-z0-9+/]{88,}|(?<![0-9a-f])[0-9a-f]{128,}|(?:\\x[0-9a-f]{2}){12}|(?:%[0-9a-f]{2}){20}/i,
  ],
  ['hidden', /(?<![ \t\n\r])[ \t\n\r]{60,}\S/],
];

/**
 * Controls, marks of direction, nothing of any width, tags, fillers and selectors beyond those of pictures. A joiner between
 * pictures and the selector after one are how people write.
 */
const unseen =
  // oxlint-disable-next-line no-control-regex, no-misleading-character-class -- they are what is looked for
  /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb]|[\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]|(?<!\p{Extended_Pictographic}\ufe0f?)\u200d/gu;

function* oddities(text: string): Generator<readonly [FindingKind, number, number]> {
  const hidden = text.search(unseen);
  if (hidden >= 0) yield ['hidden', hidden, 24];
  // What is not seen may stand between the letters of a word.
  const read = hidden < 0 ? text : text.replaceAll(unseen, '');
  const seen = new Set<FindingKind>();
  for (const [kind, expression] of expressions) {
    const match = expression.exec(read);
    if (!match || seen.has(kind)) continue;
    seen.add(kind);
    yield [kind, Math.min(match.index, text.length), match[0].length];
  }
  const tags = Array.from(text).flatMap((character) => {
    const code = character.codePointAt(0) ?? 0;
    return code >= 0xe0020 && code < 0xe007f ? [String.fromCodePoint(code - 0xe0000)] : [];
  });
  if (tags.length > 3 && [...oddities(tags.join(''))].length > 0) yield ['orders', Math.max(hidden, 0), 24];
}

/** Names with a mark in them are no words of English. */
function otherNamed(text: string, own: string, others: OtherNames): [number, number] | undefined {
  for (const match of text.matchAll(/\b[a-zA-Z]\w*[_-]\w[\w-]*\b/g)) {
    const [name] = match;
    if (name !== own && others.has(name)) return [match.index, name.length];
  }
  return undefined;
}

function* aboutName(name: string, subject: string, others: OtherNames): Generator<Finding> {
  const owner = others.get(name);
  if (owner !== undefined) yield { kind: 'shadows', subject, place: 'name', text: `${name} of ${owner}` };
  const other = skeletonsOf(others).get(skeletonOf(name));
  if (other !== undefined && other !== name) {
    const text = `${visible(name)} beside ${other} of ${others.get(other) ?? ''}`;
    yield { kind: 'look_alike', subject, place: 'name', text };
  } else if (/[^ -~]/.test(name)) yield { kind: 'look_alike', subject, place: 'name', text: visible(name) };
}

/** Letters of other scripts that look like those of ASCII, and ASCII's own doubles. */
const doubles = new Map(
  [
    'аa',
    'еe',
    'оo',
    'рp',
    'сc',
    'хx',
    'уy',
    'іi',
    'ѕs',
    'ԁd',
    'ɡg',
    'αa',
    'οo',
    'ρp',
    'νv',
    'τt',
    'κk',
    'ıi',
    '0o',
    '1l',
    'il',
    '|l',
    '5s',
    '-_',
    '._',
    ' _',
  ].map((pair) => {
    const [from = '', to = ''] = pair;
    return [from, to] as const;
  }),
);

const skeletons = new WeakMap<OtherNames, ReadonlyMap<string, string>>();

function skeletonsOf(names: OtherNames): ReadonlyMap<string, string> {
  let known = skeletons.get(names);
  if (!known) {
    known = new Map([...names.keys()].map((name) => [skeletonOf(name), name]));
    skeletons.set(names, known);
  }
  return known;
}

const alike = (letter: string) => doubles.get(letter) ?? letter;

function skeletonOf(name: string): string {
  const plain = name.normalize('NFKD').replaceAll(/\p{M}/gu, '').replaceAll(unseen, '').toLowerCase();
  // A double may have one itself: a small i without its dot.
  return Array.from(plain, (letter) => alike(alike(letter)))
    .join('')
    .replaceAll('rn', 'm')
    .replaceAll('vv', 'w')
    .replaceAll('_', '');
}

const around = 30;

const excerpt = (text: string, at: number, length: number): string =>
  visible(text.slice(Math.max(0, at - around), at + Math.min(length, 160) + around));

/** Text for people: what they would not see is written as its number. */
export const visible = (text: string): string =>
  text
    .replaceAll(unseen, (hidden) => `\\u{${(hidden.codePointAt(0) ?? 0).toString(16)}}`)
    .replaceAll(/[ \t\r\n]+/g, ' ');
