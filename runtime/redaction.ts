/**
 * Takes secrets out of text that others wrote, such as command lines and log lines, before anybody is shown it. It knows the
 * usual forms; a secret in a form of its own, which nothing around it tells of, is not found.
 */

export const redactedMark = '[redacted]';

/** What a name has in it whose value is a secret: `--db-password`, `API_KEY`, `client_secret`. */
const secretWords =
  'pass(?:word|wd|phrase|code)?|pwd|secret|token|api[-_]?key|apikey|access[-_]?key|private[-_]?key|auth(?:orization)?|credentials?|cookie|session[-_]?id|signature|dsn';
const secretName = String.raw`[\w.-]{0,64}(?:${secretWords})[\w.-]{0,32}`;

/** Each with what stays in front of the secret as its first group. */
const forms: readonly RegExp[] = [
  // Whole keys of PEM, also without an end, where the text was cut.
  /()-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g,
  // Authorization: Bearer ..., also of Basic and Digest.
  /(\b(?:bearer|basic|digest)\s+)[\w.~+/=-]{8,}/gi,
  // scheme://user:password@host, where the password may hold an @.
  /(\b[a-z][a-z\d+.-]{0,30}:\/\/[^\s:/@'"]{0,256}:)[^\s/'"]{1,512}(?=@)/gi,
  // JSON Web Tokens.
  /()\beyJ[\w-]{6,}\.[\w-]{4,}(?:\.[\w-]*)?/g,
  // Tokens with a known beginning: AWS, GitHub, GitLab, Slack, Stripe, OpenAI, Anthropic, Google, npm, Supabase, age.
  /()\b(?:(?:AKIA|ASIA)[A-Z\d]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|[rs]k_(?:live|test)_\w{10,}|sk-[\w-]{20,}|AIza[\w-]{30,}|npm_\w{30,}|sbp_\w{20,}|AGE-SECRET-KEY-1[A-Z\d]{20,})/g,
  // "password": "...", also with the quotes escaped.
  new RegExp(String.raw`(${secretName}\\?["']\s*[:=]\s*\\?["'])(?:[^"'\\]|\\.){1,2048}`, 'gi'),
  // password=..., PASSWORD="...", --password ..., password: ...
  new RegExp(
    String.raw`(${secretName}\s?[=:]\s?|--?${secretName}\s+)(?!\[redacted\])(?:"[^"]{0,2048}"?|'[^']{0,2048}'?|[^\s"'&;,]{1,2048})`,
    'gi',
  ),
  // A long word of small letters, capitals and digits is no word of any language.
  /()(?<![\w+/=.-])(?=[\w-]{0,99}[a-z])(?=[\w-]{0,99}[A-Z])(?=[\w-]{0,99}\d)[\w-]{40,100}(?![\w+/.-])/g,
];

/** The same text with a mark in place of each secret that was found. */
export function redacted(text: string): string {
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
  { program: /^ldap/, options: ['-w'] },
  { program: /^smb|^rpcclient$/, options: ['-U', '--user'] },
  { program: /^(?:docker|podman|helm|nerdctl|buildah|skopeo)$/, options: ['-p', '--creds'] },
  { program: /^(?:7z|7za|rar|unrar)$/, options: ['-p'] },
  { program: /^(?:zip|unzip)$/, options: ['-P'] },
  { program: /^openssl$/, options: ['-pass', '-passin', '-passout', '-k', '-K'] },
  { program: /^xfreerdp|^rdesktop$/, options: ['/p', '-p'] },
];

const namesSecret = new RegExp(`^--?${secretName}$`, 'i');

/** A command line word by word: the program first. Knows which options take a secret, attached or as the next word. */
export function redactedWords(words: readonly string[]): string[] {
  const program = words[0]?.split('/').at(-1) ?? '';
  const options = secretOptions.find((one) => one.program.test(program))?.options ?? [];
  let isSecretNext = false;
  return words.map((word, index) => {
    if (isSecretNext && !/^--?[a-z]/i.test(word)) {
      isSecretNext = false;
      return redactedMark;
    }
    isSecretNext = index > 0 && (namesSecret.test(word) || options.includes(word));
    const attached =
      index > 0
        ? options.find((option) => word.startsWith(option) && word.length > option.length)
        : undefined;
    if (attached !== undefined && (!attached.startsWith('--') || word[attached.length] === '=')) {
      return attached.startsWith('--') ? `${attached}=${redactedMark}` : `${attached}${redactedMark}`;
    }
    return redacted(word);
  });
}
