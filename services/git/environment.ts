/**
 * What git is told in place of what a repository says. A repository is data that others wrote, and its configuration can
 * name programs: none of them may run. Settings of the command line win over every file, and here they come by the
 * environment, which takes names of any spelling.
 */
import { fileURLToPath } from 'node:url';

/** Programs, under names that are the same for every repository. */
const programs: Readonly<Record<string, string>> = {
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'core.pager': 'cat',
  'core.editor': ':',
  'sequence.editor': ':',
  'core.askPass': '',
  'core.sshCommand': 'false',
  'core.gitProxy': 'none',
  'core.alternateRefsCommand': 'true',
  'credential.helper': '',
  'diff.external': '',
  'gpg.program': 'false',
  'gpg.openpgp.program': 'false',
  'gpg.x509.program': 'false',
  'gpg.ssh.program': 'false',
  'gpg.ssh.defaultKeyCommand': 'false',
  'gc.recentObjectsHook': 'false',
};

const fileBeside = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const [fallbackFile, ignoreFile] = [fileBeside('fallback.gitconfig'), fileBeside('fallback.gitignore')];
/** Every git has to see them. */
export const ownFiles = [fallbackFile, ignoreFile];

const always: Readonly<Record<string, string>> = {
  ...programs,
  // What would call for one of them.
  'commit.gpgSign': 'false',
  'tag.gpgSign': 'false',
  'tag.forceSignAnnotated': 'false',
  'push.gpgSign': 'false',
  'log.showSignature': 'false',
  'merge.verifySignatures': 'false',
  'gc.auto': '0',
  'maintenance.auto': 'false',
  'fetch.writeCommitGraph': 'false',
  'rebase.autoStash': 'false',
  // Its lines become steps of a rebase.
  'rebase.instructionFormat': '%s',
  // It reads and writes wherever a file in .git says.
  'rerere.enabled': 'false',
  'merge.autoStash': 'false',
  // Submodules are repositories of their own, with configurations of their own.
  'submodule.recurse': 'false',
  'fetch.recurseSubmodules': 'false',
  'push.recurseSubmodules': 'no',
  'diff.submodule': 'short',
  'diff.ignoreSubmodules': 'dirty',
  'status.submoduleSummary': 'false',
  // Files that may lie anywhere, and whose lines git would quote.
  'core.attributesFile': '/dev/null',
  'core.excludesFile': ignoreFile,
  // One way to read an index, and few threads: each takes memory of its own.
  'core.untrackedCache': 'false',
  'index.threads': '1',
  'checkout.workers': '1',
  'grep.threads': '2',
  'pack.threads': '2',
  'pack.windowMemory': '100m',
  'transfer.bundleURI': 'false',
  // Forms of output: those of git's own choice, whatever the repository prefers.
  'advice.detachedHead': 'false',
  'advice.statusHints': 'true',
  'color.branch': 'never',
  'color.diff': 'never',
  'color.grep': 'never',
  'color.status': 'never',
  'color.ui': 'never',
  'column.branch': 'never',
  'column.status': 'never',
  'column.ui': 'never',
  'commit.verbose': 'false',
  'core.abbrev': 'auto',
  'core.commentChar': '#',
  'core.quotePath': 'true',
  'diff.algorithm': 'default',
  'diff.colorMoved': 'no',
  'diff.context': '3',
  'diff.indentHeuristic': 'true',
  'diff.interHunkContext': '0',
  'diff.mnemonicPrefix': 'false',
  'diff.noprefix': 'false',
  'diff.relative': 'false',
  'diff.renames': 'true',
  'diff.suppressBlankEmpty': 'false',
  'format.pretty': 'medium',
  'grep.column': 'false',
  'grep.extendedRegexp': 'false',
  'grep.fallbackToNoIndex': 'false',
  'grep.patternType': 'default',
  'i18n.logOutputEncoding': 'UTF-8',
  'log.abbrevCommit': 'false',
  'log.date': 'default',
  'log.decorate': 'false',
  'log.diffMerges': 'separate',
  'log.follow': 'false',
  'log.mailmap': 'true',
  'log.showRoot': 'true',
  'status.aheadBehind': 'true',
  'status.branch': 'false',
  'status.displayCommentPrefix': 'false',
  'status.relativePaths': 'true',
  'status.renames': 'true',
  'status.short': 'false',
  'status.showStash': 'false',
};

type Rule = readonly [pattern: RegExp, override: (key: string) => readonly [string, string]];

const to = (value: string) => (key: string) => [key, value] as const;
const sectionOf = (key: string) => key.slice(0, key.lastIndexOf('.'));

/** Names that a repository makes up, the first rule that fits. Git gives sections and variables in small letters. */
const rules: readonly Rule[] = [
  [/^filter\..*\.(clean|smudge|process)$/s, to('')],
  [/^filter\..*\.required$/s, to('false')],
  // An empty driver would count as a merge without conflicts; one that fails leaves the conflict to the caller. Git alone
  // fails, and is the one program that is there in the sandbox.
  [/^merge\..*\.driver$/s, to('git')],
  // A strategy of merging that git does not know is looked for among them.
  [/^alias\./s, to('')],
  [/^hook\./s, (key) => [`${sectionOf(key)}.enabled`, 'false']],
  [/^submodule\..*\.(ignore|path|url)$/s, (key) => [`${sectionOf(key)}.ignore`, 'dirty']],
  [/^branch\..*\.mergeoptions$/s, to('')],
  [/^(diff\.orderfile|mailmap\.file|commit\.template|gpg\..*file)$/, to('/dev/null')],
  // Whatever else is named like a program, those of a later git included.
  [/(command|cmd|program|helper|editor|pager|askpass|textconv|hook|driver|proxy|tool|browser)$/, to('')],
];

const keysOf = (settings: Readonly<Record<string, string>>) =>
  new Set(Object.keys(settings).map((key) => key.toLowerCase()));
const fixed = keysOf(always);
const fixedPrograms = keysOf(programs);
const ruleFor = (key: string) => (fixed.has(key) ? undefined : rules.find(([pattern]) => pattern.test(key)));

/** Whether git gets our own value in place of the repository's. */
export const isOverridden = (key: string): boolean => fixed.has(key) || ruleFor(key) !== undefined;

/** How remotes are reached: without meaning until one is, and refused then (remotes.ts). */
export const sayingHowToReach =
  /^(http|url|credential|protocol|ssh)\.|^core\.(sshcommand|gitproxy|askpass)$|^remote\..*\.(vcs|proxy|proxyauthmethod|uploadpack|receivepack)$/s;
/** What to say against these names from a repository's configuration. */
export function overridesOf(keys: Iterable<string>): Map<string, string> {
  const overrides = new Map<string, string>();
  for (const key of keys) {
    const rule = ruleFor(key);
    if (rule) overrides.set(...rule[1](key));
  }
  return overrides;
}

/** Whether a name may stand for a program: the git that works in another repository takes no override of ours. */
export const namesProgram = (key: string): boolean =>
  fixedPrograms.has(key) || (!/^(submodule|alias)\./.test(key) && ruleFor(key) !== undefined);

/** Nothing of the environment of this process reaches git. */
const fixedEnvironment = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  HOME: '/nonexistent',
  LC_ALL: 'C',
  TZ: 'UTC',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: fallbackFile,
  GIT_ATTR_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_ASKPASS: '',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_NO_LAZY_FETCH: '1',
  GIT_LITERAL_PATHSPECS: '1',
  GIT_EDITOR: ':',
  GIT_SEQUENCE_EDITOR: ':',
  GIT_PAGER: 'cat',
  GIT_SSH_COMMAND: 'false',
  GIT_MERGE_AUTOEDIT: 'no',
  // Wins over every protocol.*.allow: none, unless a tool for remotes names one.
  GIT_ALLOW_PROTOCOL: '',
};

/** `more` are variables, `settings` names of git's configuration; both win over what stands here. */
export function gitEnvironment(
  overrides: ReadonlyMap<string, string>,
  more: Readonly<Record<string, string>> = {},
  settings: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const all = [...overrides, ...Object.entries(always), ...Object.entries(settings)];
  return {
    ...fixedEnvironment,
    GIT_CONFIG_COUNT: String(all.length),
    ...Object.fromEntries(
      all.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
    ...more,
  };
}
