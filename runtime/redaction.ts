/**
 * Takes secrets out of text that others wrote, such as command lines and log lines, before anybody is shown it. It knows the
 * usual forms; a secret in a form of its own, which nothing around it tells of, is not found.
 */

export const redactedMark = '[redacted]';

/** What may begin a secret; most lines have nothing of it, and cost one look. */
const hints =
  /A(?:KIA|SIA|uthorization|UTHORIZATION|ccountKey)|authorization|eyJ|-----BEGIN|[Pp]ass|PASS|[Ss]ecret|SECRET|[Tt]oken|TOKEN|[Aa][Pp][Ii][-_ ]?[Kk][Ee][Yy]|[Pp]wd|PWD|[Cc]ookie|COOKIE|[Cc]redential|CREDENTIAL|flt_|gh[pousr]_|github_pat_|xox[abeprs]-|hooks\.slack|sk[-_]|rk_|AIza|ya29\.|glpat-|npm_|SG\.|sbp_|sb_secret_|hvs\.|AGE-SECRET|[Pp]rivate|PRIVATE|[Bb]earer |[Bb]asic |[?&]sig=|:\/\/[^\s/:@]*[:@]/;

/** What a secret is called, in any text that says `name=secret`; a name may stand behind others, as in `DB_PASSWORD`. */
const named =
  'pass(?:word|wd|phrase)?|pwd|secret(?:[-_]?(?:access[-_]?)?key(?:[-_]?base)?)?|(?:access|auth|refresh|session|id|api)?[-_]?token|api[-_ ]?key|account[-_]?key|client[-_]?secret|private[-_]?key|credentials?';

/** What a sentence tells in words, and what it says of it that is none: a log is read for that. */
const told = 'pass(?:word|phrase|code)|api key|(?:access |auth |refresh |session )?token|client secret|pin';
const state =
  '(?:not|in|un|re|mis|already|no|too|now|being|still|only|never|always|also|about|by|for|from|on|at|of|to|with|a|an|the|ok|set|wrong|bad|good|weak|strong|long|short|empty|blank|null|none|nil|undefined|true|false|missing|expired|expiring|required|needed|valid|invalid|correct|accepted|rejected|refused|denied|revoked|stale|old|new|unknown|leaked|compromised|disabled|enabled|optional|encrypted|hashed|stored|changed|updated|found|sent|used|ready|issued|generated|created|malformed|ignored|given|provided|present|absent|blocked|locked|supported|deprecated)(?:\\w{0,12})';

/** Each has bounds, so that no text makes it slow. */
const secrets: readonly (readonly [RegExp, string])[] = [
  // A key in PEM, over lines or with `\n` written out; one that is cut off goes to its end.
  [/-----BEGIN ([A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----[^]*?(?:-----END \1-----|$)/g, redactedMark],
  [/AGE-SECRET-KEY-[A-Z0-9]{20,80}/g, redactedMark],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, redactedMark],
  // The first part of a JWT is bounded, or a text full of beginnings would take the square of its length.
  [/\beyJ[\w-]{5,512}\.eyJ[\w-]{2,}(?:\.[\w-]*)?/g, redactedMark],
  [/flt_[\w-]{20,}/g, redactedMark],
  [
    /(?:\b|(?<=%[0-9A-Fa-f]{2}))(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w.-]{10,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|sk[-_][\w-]{16,}|rk_(?:live|test)_\w{10,}|npm_\w{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|sbp_\w{30,}|sb_secret_[\w-]{16,}|hvs\.[\w-]{20,})/g,
    redactedMark,
  ],
  [/(hooks\.slack\.com\/(?:services|workflows|triggers)\/)[\w/-]{10,200}/g, `$1${redactedMark}`],
  // Its parts stand one after the other, up to the end of the line.
  [
    /(authorization\\{0,7}["']?\s{0,3}[:=]\s{0,3}\\{0,7}["']?)(?:digest|oauth|hawk|mac|signature|aws4-[\w-]{1,30})\s[^\n]{1,4000}/gi,
    `$1${redactedMark}`,
  ],
  [
    /(authorization\\{0,7}["']?\s{0,3}[:=]\s{0,3}\\{0,7}["']?(?:(?:bearer|basic|token|negotiate|ntlm|api-?key|key|jwt|bot|splunk|sso-key)\s{1,3})?)[^\s"',;]{3,}/gi,
    `$1${redactedMark}`,
  ],
  [
    /(cookie\\{0,7}["']?\s{0,3}[:=]\s{0,3}\\{0,7}["']?)[^\s=;"']{1,100}=[^\n"']{1,4000}/gi,
    `$1${redactedMark}`,
  ],
  [/\b(bearer\s{1,3})[\w.~+/=-]{8,}/gi, `$1${redactedMark}`],
  [/\b(basic\s{1,3})[\w+/]{12,}={0,2}/gi, `$1${redactedMark}`],
  // A password may have an @ of its own; a long name without one is a token.
  [/(:\/\/[^\s/:@]{0,100}:)[^\s/"'<>]{1,200}@/g, `$1${redactedMark}@`],
  [/(:\/\/)[^\s/:@]{20,200}@/g, `$1${redactedMark}@`],
  [/([?&]sig=)[\w%+/=-]{10,500}/g, `$1${redactedMark}`],
  // What an earlier form has found may be part of it.
  [
    new RegExp(
      String.raw`((?:${named})\\{0,7}["']?\s{0,3}(?::=|=>|[:=]|%3[AaDd])\s{0,3})(?:\\{1,7}"[^"\\]{1,2000}|"(?:[^"\\]|\\.){1,2000}"?|'(?:[^'\\]|\\.){1,2000}'?|\[redacted\][^\s"',;&}\]]{0,2000}|[^\s"',;&}\]]{1,2000})`,
      'gi',
    ),
    `$1${redactedMark}`,
  ],
  [
    new RegExp(
      String.raw`\b((?:${told})\s(?:(?:is|was)(?: set to| changed to)?|set to|changed to)\s{0,3}:?\s{1,3})(?:"[^"\n]{1,500}"?|'[^'\n]{1,500}'?|(?!(?:${state})\b)(?=\S{0,200}[\d!@#$%^&*_+=?]\S|[^\s.,;]{4,200}[.,;]?(?:\n|$))[^\s"',;]{1,500})`,
      'gi',
    ),
    `$1${redactedMark}`,
  ],
  [new RegExp(String.raw`(<(?:\w{1,30}:)?(?:${named})>)[^<]{1,2000}`, 'gi'), `$1${redactedMark}`],
  [
    /(\s--?(?:password|passwd|passphrase|token|secret|api-?key|client-secret|access-token|auth-token)\s{1,3})(?!-)(?:"[^"]{1,500}"?|'[^']{1,500}'?|[^\s"']{1,500})/g,
    `$1${redactedMark}`,
  ],
];

/** A text without its secrets, and how many there were. */
export function withoutSecrets(text: string): string {
  if (!hints.test(text)) return text;
  let clean = text;
  for (const [pattern, replacement] of secrets) clean = clean.replace(pattern, replacement);
  return clean;
}

/** More of what a name has in it whose value is a secret: `--db-password`, `API_KEY`, `client_secret`. */
const secretWords =
  'pass(?:word|wd|phrase|code)?|pwd|secret|token|(?:api|access|private|encryption|signing|master|account)[-_]?key|auth(?:orization)?|credentials?|cookie|session[-_]?id|signature|dsn|psk';
/** From the word that tells on. What stands before it is no part: to look for that at every place would take far too long. */
const secretName = String.raw`(?:${secretWords})[\w.-]{0,32}`;

/** What goes from commands as well, where rather too much may go than too little: a log would lose what it is kept for. */
const forms: readonly RegExp[] = [
  /(\bdigest\s+)[\w.~+/=-]{8,}/gi,
  // Addresses that are secrets themselves.
  /(\/api\/webhooks\/\d{5,30}\/)[\w/-]{8,256}/gi,
  // JSON Web Tokens whose second part is none of JSON.
  /()\beyJ[\w-]{6,512}\.[\w-]{4,}(?:\.[\w-]*)?/g,
  // "password": "...", also with the quotes escaped.
  new RegExp(
    String.raw`(${secretName}\\?["']\s*[:=]\s*\\?["'])(?!\[redacted\])(?:[^"'\\]|\\.){1,2048}`,
    'gi',
  ),
  // password=..., PASSWORD="...", --password ..., password: ...
  new RegExp(
    String.raw`(${secretName}(?:\s?[=:]\s?|\s{1,16}(?<=-[\w.-]{1,128}\s{1,16})))(?!\[redacted\])(?:"[^"]{0,2048}"?|'[^']{0,2048}'?|[^\s"'&;,]{1,2048})`,
    'gi',
  ),
  // A long word of small letters, capitals and digits is no word of any language.
  /()(?<![\w+/=.-])(?=[\w-]{0,99}[a-z])(?=[\w-]{0,99}[A-Z])(?=[\w-]{0,99}\d)[\w-]{40,100}(?![\w+/.-])/g,
];

/** The same text with a mark in place of each secret that was found; commands may stand in it, as `sudo` and `cron` log them. */
export const redacted = (text: string): string => withoutForms(withoutOptions(text, looking(false)));

function withoutForms(text: string): string {
  let result = withoutSecrets(text);
  for (const form of forms) result = result.replace(form, `$1${redactedMark}`);
  return result;
}

/** Options of programs that take a secret, where the name of the option does not say so. */
const secretOptions: readonly { readonly program: RegExp; readonly options: readonly string[] }[] = [
  { program: /^sshpass$/, options: ['-p'] },
  { program: /^(?:mysql|mariadb)/, options: ['-p'] },
  { program: /^mongo/, options: ['-p'] },
  { program: /^redis-/, options: ['-a'] },
  { program: /^curl$/, options: ['-u', '--user', '-U', '--proxy-user', '-b', '-E'] },
  { program: /^https?$/, options: ['-a'] },
  { program: /^etcdctl$/, options: ['--user'] },
  { program: /^l?ftp$/, options: ['-u'] },
  { program: /^ldap/, options: ['-w'] },
  { program: /^smb|^rpcclient$/, options: ['-U', '--user'] },
  { program: /^(?:docker|podman|helm|nerdctl|buildah|skopeo)$/, options: ['-p', '--creds'] },
  { program: /^(?:7z|7za|rar|unrar)$/, options: ['-p'] },
  { program: /^(?:zip|unzip|sqlcmd|bcp|ipmitool)$/, options: ['-P'] },
  { program: /^mosquitto_/, options: ['-P', '--pw'] },
  { program: /^openssl$/, options: ['-pass', '-passin', '-passout', '-k', '-K'] },
  { program: /^xfreerdp|^rdesktop$/, options: ['/p', '-p'] },
];

/** Any of them. */
const takesSecret = new RegExp(secretOptions.map(({ program }) => program.source).join('|'));

const namesSecret = new RegExp(String.raw`^--?[\w.-]{0,64}${secretName}$`, 'i');
/** Words that programs take in front of a secret as they are: `nmcli ... password ...`, `aws configure set ...`. */
const announcesSecret = /^\S*(?:password|passphrase|auth[-_]?token|secret_access_key):?$/i;

/** Words and what stands between them, as a shell parts them; a quoted part belongs to its word. */
const shellParts = /(?:"(?:[^"\\]|\\.){0,256}"|'[^']{0,256}'|[^\s;&|()"'])+|["']|[\s;&|()]+/g;

/**
 * A command line word by word: the program first. Knows which options take a secret, attached or as the next word. The program
 * may start another one (`sudo`, `timeout`, `docker exec`), and a word may be a script (`sh -c`): so the options of every program
 * that was named count from there on.
 */
export function redactedWords(words: readonly string[]): string[] {
  const see = looking(true);
  return words.map((word) => {
    // The whole of it may be the secret that was waited for.
    return see(word) ?? withoutForms(/\s/.test(word) ? withoutOptions(word, see) : word);
  });
}

type See = (word: string) => string | undefined;

const withoutOptions = (text: string, see: See) =>
  text.replaceAll(shellParts, (part) => (/^[\s;&|()]/.test(part) ? part : (see(part) ?? part)));

/**
 * Told word after word; answers with what to show, `undefined` for a word that is not known to be a secret.
 *
 * @param isCommand whether a bare `password` announces one: in a sentence it does not.
 */
function looking(isCommand: boolean): See {
  const options = new Set<string>();
  let isFirst = true;
  let isSecretNext = false;
  return (word) => {
    const wasFirst = isFirst;
    isFirst = false;
    if (isSecretNext && !/^--?[a-z]/i.test(word)) {
      isSecretNext = false;
      return redactedMark;
    }
    isSecretNext =
      !wasFirst &&
      (options.has(word) || (isCommand && (namesSecret.test(word) || announcesSecret.test(word))));
    if (isSecretNext) return undefined;
    for (const option of options) {
      if (!word.startsWith(option)) continue;
      if (!option.startsWith('--')) return `${option}${redactedMark}`;
      if (word[option.length] === '=') return `${option}=${redactedMark}`;
    }
    // Also as the last of several letters: `curl -fsSu`.
    isSecretNext = /^-[a-z]{2,8}$/i.test(word) && options.has(`-${word.at(-1)}`);
    // Also COMMAND=/usr/bin/mysql.
    const program = word.slice(1 + Math.max(word.lastIndexOf('/'), word.lastIndexOf('=')));
    if (takesSecret.test(program)) {
      for (const known of secretOptions) {
        if (known.program.test(program)) for (const option of known.options) options.add(option);
      }
    }
    return undefined;
  };
}
