/** Other repositories: what their addresses mean, and whether they may be reached. */
import { lstat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import { viewOf, type Mount } from '#runtime/sandbox.ts';
import type { Call } from '#runtime/tool.ts';

import { sayingHowToReach } from './environment.ts';
import type { Git, GitOptions, Repository } from './git.ts';
import { requireNoPrograms, sightOf, type Place } from './repository.ts';

export const networkProtocols = ['https', 'ssh'] as const;
export type NetworkProtocol = (typeof networkProtocols)[number];

type Address = { readonly protocol: NetworkProtocol } | { readonly protocol: 'file'; readonly path: string };

const refused = (why: string) =>
  new ToolError('forbidden', `This address is refused: ${why}.`, {
    hint: 'Use https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, or the path of a repository under the roots.',
  });

/** The address itself is not repeated in errors: it may hold a password. */
export function addressOf(url: string, folder: string): Address {
  if (/[\p{Cc}\s]/u.test(url) || url.startsWith('-')) throw refused('it has characters that none needs');
  if (/^[^/]*::/.test(url)) throw refused('it names a helper program');
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url) ?? [];
  if (scheme === undefined) {
    const isScpLike = /^[^/]*:/.test(url);
    if (url.startsWith('~')) throw refused('git would take "~" for the home of a user');
    if (!isScpLike) return { protocol: 'file', path: resolve(folder, url) };
    if (!/^([\w.-]+@)?[A-Za-z0-9][\w.-]*:(?!-)/.test(url)) throw refused('its host is no name');
    return { protocol: 'ssh' };
  }
  if (scheme === 'file') {
    const [, path] = /^file:\/\/(\/[^%]*)$/.exec(url) ?? [];
    if (path === undefined) throw refused('a file URL needs an absolute path, without "%"');
    return { protocol: 'file', path };
  }
  const protocol = networkProtocols.find((known) => known === scheme);
  if (protocol === undefined) throw refused(`${scheme} is not among ${networkProtocols.join(', ')}`);
  const parsed = URL.parse(url);
  if (!parsed || !/^[A-Za-z0-9[]/.test(parsed.hostname)) throw refused('its host is no name');
  if (parsed.password !== '' || (protocol === 'https' && parsed.username !== '')) {
    throw refused('it holds credentials, which belong into the file that FLOTILLA_GIT_CREDENTIALS names');
  }
  return { protocol };
}

const shellQuoted = (text: string) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/**
 * What lets git reach these addresses and no others.
 *
 * @throws ToolError `forbidden` for a protocol that the operator has not opened, and for a local repository outside the
 * roots or with programs in its configuration: the git that serves it takes no overrides from us.
 */
export async function allowAddresses(
  git: Pick<Git, 'policy' | 'look'>,
  urls: readonly string[],
  folder: string,
  call: Call,
  mayChange = false,
): Promise<GitOptions> {
  const { policy } = git;
  const protocols: string[] = [];
  const places: Record<string, string> = {};
  const mounts: Mount[] = [];
  const links = new Map<string, string>();
  const see = (sight: ReturnType<typeof viewOf>) => {
    mounts.push(...sight.mounts);
    for (const [path, target] of sight.links) links.set(path, target);
  };
  for (const url of urls) {
    const address = addressOf(url, folder);
    protocols.push(address.protocol);
    if (address.protocol === 'file') {
      const place = await requireHarmless(git, address.path, call, mayChange);
      const { gitDir } = place;
      see(sightOf(place, mayChange));
      // Whatever else git could make of the address, it is given the place that was looked at; two of one place differ.
      const slashes = '/'.repeat(protocols.length - 1);
      places[`url.file://${gitDir}${slashes}.insteadOf`] = url;
    } else if (!policy.protocols.includes(address.protocol)) {
      throw new ToolError('forbidden', `The protocol ${address.protocol} is closed.`, {
        hint: 'The operator opens it with FLOTILLA_GIT_PROTOCOLS.',
      });
    }
  }
  const { credentials } = policy;
  const isFar = protocols.some((protocol) => protocol !== 'file');
  if (isFar) see(viewOf([join(homedir(), '.ssh'), ...(credentials === undefined ? [] : [credentials])]));
  // Only "get": the store would also write and delete.
  const helper =
    credentials &&
    `!f() { test "$1" = get && git credential-store --file=${shellQuoted(credentials)} get; }; f`;
  return {
    env: {
      GIT_ALLOW_PROTOCOL: protocols.join(':'),
      GIT_SSH_COMMAND: 'ssh -oBatchMode=yes -oConnectTimeout=20',
    },
    settings: {
      ...places,
      'protocol.file.allow': 'user',
      ...(helper && { 'credential.helper': helper }),
    },
    mounts,
    links,
    // A program of git serves the other side, and a shell starts it.
    reach: isFar ? 'network' : 'programs',
  };
}

async function requireHarmless(
  { look }: Pick<Git, 'look'>,
  path: string,
  call: Call,
  mayChange: boolean,
): Promise<Place> {
  if ((await lstat(path).catch(() => undefined))?.isFile()) throw refused('it is a file');
  const other = await look(path, call);
  const { gitDir } = other;
  requireNoPrograms(other, 'The other repository');
  // Its working tree is not looked at, and git would change it without our settings.
  const current = other.config.get('receive.denycurrentbranch') ?? [];
  if (mayChange && current.some((value) => value.toLowerCase() === 'updateinstead')) {
    throw refused('a push would change its working tree (receive.denyCurrentBranch)');
  }
  // The git that serves it looks for these first, or when it likes the folder less than we do; and reads "%" as an escape.
  for (const decoy of [join(gitDir, '.git'), `${gitDir}.git`]) {
    if (await lstat(decoy).catch(() => undefined)) throw refused(`there is also ${basename(decoy)}`);
  }
  if (gitDir.includes('%')) throw refused('its path has a "%"');
  return other;
}

/** A remote that is configured, and may be reached. */
export async function openRemote(
  git: Pick<Git, 'policy' | 'look'>,
  repository: Repository,
  name: string,
  call: Call,
  mayChange = false,
): Promise<GitOptions> {
  const { config, folder, commonDir } = repository;
  // Git of old times kept addresses here, and reads them beside the configuration.
  for (const place of [join('remotes', name), join('branches', name)]) {
    if (await lstat(join(commonDir, place)).catch(() => undefined)) {
      throw new ToolError('forbidden', `The repository has an address of '${name}' in .git/${place}.`, {
        hint: 'Its owner removes that file; git_remote sets addresses.',
      });
    }
  }
  const urls = ['url', 'pushurl'].flatMap((key) => config.get(`remote.${name}.${key}`) ?? []);
  if (urls.length === 0) {
    throw new ToolError('not_found', `There is no remote '${name}'.`, { hint: 'See git_remote.' });
  }
  const redirecting = [...config.keys()].find((key) => sayingHowToReach.test(key));
  if (redirecting !== undefined) {
    throw new ToolError(
      'forbidden',
      `The repository sets ${redirecting}, which says how remotes are reached.`,
      {
        hint: 'That is for the operator to say: remove it from the configuration of the repository.',
      },
    );
  }
  return allowAddresses(git, urls, folder, call, mayChange);
}
