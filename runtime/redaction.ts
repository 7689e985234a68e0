/**
 * Takes secrets out of text that others wrote, such as command lines and log lines, before anybody is shown it. It knows the
 * usual forms; a secret in a form of its own, which nothing around it tells of, is not found.
 */

export const redactedMark = '[redacted]';

/** What a name has in it whose value is a secret: `--db-password`, `API_KEY`, `client_secret`. */
const secretWords =
  'pass(?:word|wd|phrase|code)?|pwd|secret|token|(?:api|access|private|encryption|signing|master|account)[-_]?key|auth(?:orization)?|credentials?|cookie|session[-_]?id|signature|dsn|psk';
/** From the word that tells on. What stands before it is no part: to look for that at every place would take far too long. */
const secretName = String.raw`(?:${secretWords})[\w.-]{0,32}`;

/** Each with what stays in front of the secret as its first group. */
const forms: readonly RegExp[] = [
  // Whole keys of PEM, also without an end, where the text was cut.
  /()-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g,
  // Authorization: token ..., where a word says what the secret is.
  /(\bauthorization\\?["']?\s?[:=]\s?\\?["']?(?:token|api-?key|key|jwt|oauth|bot|splunk|sso-key|negotiate|ntlm)\s{1,4})(?!\[redacted\])[^\s"',;]{1,2048}/gi,
  // Authorization: Bearer ..., also of Basic and Digest.
  /(\b(?:bearer|basic|digest)\s+)[\w.~+/=-]{8,}/gi,
  // scheme://user:password@host, where the password may hold an @.
  /(\b[a-z][a-z\d+.-]{0,30}:\/\/[^\s:/@'"]{0,256}:)[^\s/'"]{1,512}(?=@)/gi,
  // https://token@host, as programs that fetch code take it.
  /(\bhttps?:\/\/)[\w.~%-]{20,256}(?=@)/gi,
  // Addresses that are secrets themselves, and signed ones.
  /(\bhooks\.slack\.com\/(?:services|workflows)\/|\/api\/webhooks\/\d{5,30}\/)[\w/-]{8,256}/gi,
  /([?&]sig=)[^\s"'&;,]{1,2048}/gi,
  // JSON Web Tokens. The first part is bounded, or a text full of beginnings would take the square of its length.
  /()\beyJ[\w-]{6,512}\.[\w-]{4,}(?:\.[\w-]*)?/g,
  // Tokens with a known beginning: AWS, GitHub, GitLab, Slack, Stripe, OpenAI, Anthropic, Google, npm, Supabase, age, and our own.
  /()\b(?:(?:AKIA|ASIA)[A-Z\d]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|[rs]k_(?:live|test)_\w{10,}|sk-[\w-]{20,}|AIza[\w-]{30,}|npm_\w{30,}|sbp_\w{20,}|AGE-SECRET-KEY-1[A-Z\d]{20,}|flt_[\w-]{20,})/g,
  // "password": "...", also with the quotes escaped.
  new RegExp(String.raw`(${secretName}\\?["']\s*[:=]\s*\\?["'])(?:[^"'\\]|\\.){1,2048}`, 'gi'),
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
  let result = text;
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
