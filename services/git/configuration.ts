/**
 * Which keys of a repository's configuration git may read: those listed here, which at worst make its own answers odd, and
 * those that no git knows, which other tools keep there. Any other key that git knows makes the repository refused; what
 * names programs, and is common all the same, is overridden instead (environment.ts).
 */
import { ToolError } from '#runtime/errors.ts';

import { isOverridden, sayingHowToReach } from './environment.ts';
import type { RunNowhere } from './git.ts';
import { maxListBytes } from './limits.ts';

/** Sections for programs that are not run here, or in which nothing can lead anywhere. */
const sections =
  words(`advice am author bitmapPseudoMerge browser color column commitGraph committer completion
  credentialCache credentialStore diffTool difftool extensions fastimport format fsck gc gitcvs git-p4 gitweb gpg gui guitool
  help i18n imap include includeIf index init instaweb interactive log lsrefs mailinfo mailsplit maintenance man mergetool
  pack pager pretty reftable remotes repack rerere safe sendemail sendmail showBranch splitIndex stash status svn svn-remote
  tag tar uploadarchive uploadpackfilter user versionsort web worktree`);

/** Single keys of the other sections; "*" stands for a name that the repository makes up. */
const keys = words(`
  add.ignoreErrors add.interactive.useBuiltin apply.ignoreWhitespace apply.whitespace
  blame.blankBoundary blame.coloring blame.date blame.ignoreRevsFile blame.markIgnoredLines blame.markUnblamableLines
  blame.showEmail blame.showRoot
  branch.*.description branch.*.merge branch.*.pushRemote branch.*.rebase branch.*.remote branch.autoSetupMerge
  branch.autoSetupRebase branch.sort
  checkout.defaultRemote checkout.guess checkout.thresholdForParallelism checkout.workers clean.requireForce
  clone.defaultRemoteName clone.filterSubmodules clone.rejectShallow commit.cleanup commit.status commit.verbose
  core.abbrev core.alternateRefsPrefixes core.autocrlf core.bare core.bigFileThreshold core.checkRoundtripEncoding
  core.checkStat core.commentChar core.commentString core.commitGraph core.compression core.createObject
  core.deltaBaseCacheLimit core.eol core.fileMode core.filesRefLockTimeout core.fsmonitorHookVersion core.fsync
  core.fsyncMethod core.fsyncObjectFiles core.hideDotFiles core.ignoreCase core.ignoreStat core.logAllRefUpdates
  core.looseCompression core.maxTreeDepth core.multiPackIndex core.notesRef core.packedGitLimit core.packedGitWindowSize
  core.packedRefsTimeout core.precomposeUnicode core.preferSymlinkRefs core.preloadIndex core.protectHFS core.protectNTFS
  core.quotePath core.repositoryFormatVersion core.restrictInheritedHandles core.safecrlf core.sharedRepository
  core.sparseCheckout core.sparseCheckoutCone core.splitIndex core.symlinks core.trustctime core.unsetenvvars
  core.untrackedCache core.useReplaceRefs core.warnAmbiguousRefs core.whitespace core.worktree
  diff.*.algorithm diff.*.binary diff.*.cachetextconv diff.*.funcname diff.*.trustExitCode diff.*.wordRegex
  diff.*.xfuncname diff.algorithm diff.autoRefreshIndex diff.colorMoved diff.colorMovedWS diff.context diff.dirstat
  diff.dstPrefix diff.ignoreSubmodules diff.indentHeuristic diff.interHunkContext diff.mnemonicPrefix diff.noPrefix
  diff.relative diff.renameLimit diff.renames diff.srcPrefix diff.statGraphWidth diff.statNameWidth diff.submodule
  diff.suppressBlankEmpty diff.trustExitCode diff.wordRegex diff.wsErrorHighlight
  feature.experimental feature.manyFiles
  fetch.all fetch.fsck.* fetch.fsckObjects fetch.negotiationAlgorithm fetch.output fetch.parallel fetch.prune
  fetch.pruneTags fetch.recurseSubmodules fetch.showForcedUpdates fetch.unpackLimit fetch.writeCommitGraph
  grep.column grep.extendedRegexp grep.fallbackToNoIndex grep.fullName grep.lineNumber grep.patternType grep.threads
  mailmap.blob
  merge.*.name merge.*.recursive merge.autoStash merge.branchdesc merge.conflictStyle merge.defaultToUpstream
  merge.directoryRenames merge.ff merge.log merge.renameLimit merge.renames merge.renormalize merge.stat
  merge.suppressDest merge.verbosity merge.verifySignatures
  notes.*.mergeStrategy notes.displayRef notes.mergeStrategy notes.rewrite.* notes.rewriteMode notes.rewriteRef
  promisor.quiet pull.ff pull.rebase push.autoSetupRemote push.default push.followTags push.gpgSign push.negotiate push.pushOption
  push.recurseSubmodules push.useBitmaps push.useForceIfIncludes
  rebase.abbreviateCommands rebase.autoSquash rebase.autoStash rebase.backend rebase.forkPoint rebase.instructionFormat
  rebase.maxLabelLength rebase.missingCommitsCheck rebase.rebaseMerges rebase.rescheduleFailedExec rebase.stat
  rebase.updateRefs revert.reference
  receive.advertiseAtomic receive.advertisePushOptions receive.autogc receive.certNonceSeed receive.certNonceSlop receive.denyCurrentBranch receive.denyDeleteCurrent
  receive.denyDeletes receive.denyNonFastForwards receive.fsck.* receive.fsckObjects receive.hideRefs receive.keepAlive
  receive.maxInputSize receive.shallowUpdate receive.unpackLimit receive.updateServerInfo
  remote.*.fetch remote.*.followRemoteHEAD remote.*.mirror remote.*.partialclonefilter remote.*.promisor remote.*.prune
  remote.*.pruneTags remote.*.push remote.*.pushurl remote.*.skipDefaultUpdate remote.*.skipFetchAll remote.*.tagOpt
  remote.*.url remote.pushDefault
  sparse.expectFilesOutsideOfPatterns
  submodule.*.active submodule.*.branch submodule.*.fetchRecurseSubmodules submodule.*.gitdir submodule.*.ignore
  submodule.*.update submodule.*.url submodule.active submodule.alternateErrorStrategy submodule.alternateLocation
  submodule.fetchJobs submodule.propagateBranches submodule.recurse
  transfer.advertiseObjectInfo transfer.advertiseSID transfer.credentialsInUrl transfer.fsckObjects transfer.hideRefs
  transfer.unpackLimit
  uploadpack.allowAnySHA1InWant uploadpack.allowFilter uploadpack.allowReachableSHA1InWant uploadpack.allowRefInWant
  uploadpack.allowTipSHA1InWant uploadpack.hideRefs uploadpack.keepAlive`);

/** Names a file whose lines git would tell. */
const leadingElsewhere = /^(fetch|receive)\.fsck\.skiplist$/;

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

const sectionOf = (key: string) => key.slice(0, key.indexOf('.'));

const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** A name with parts that anything stands for, as git writes it: sections and variables do not tell letters apart. */
function patternOf(name: string): RegExp {
  const parts = name.split(/\*|<[^>]*>/);
  return new RegExp(`^${parts.map((part) => escaped(part.toLowerCase())).join('.*')}$`, 's');
}

/** By their sections: a configuration may hold many keys, and each is looked at in every call. */
function bySection(names: readonly string[]): ReadonlyMap<string, readonly RegExp[]> {
  const forms = Map.groupBy(names, (name) => sectionOf(name).toLowerCase());
  return new Map([...forms].map(([section, group]) => [section, group.map(patternOf)]));
}

const plain = (names: readonly string[]) => new Set(names.map((name) => name.toLowerCase()));
const allowedSections = plain(sections);
const allowedKeys = plain(keys.filter((key) => !key.includes('*')));
const allowedForms = bySection(keys.filter((key) => key.includes('*')));

/** Sections in which git may come to read more than it documents: a key there that nobody lists is refused too. */
const ownSections = plain(words('attr bundle fetch fsmonitor pull receive trace2 transfer uploadpack'));

export function isHarmless(key: string): boolean {
  const section = sectionOf(key);
  if (allowedSections.has(section) || isOverridden(key) || sayingHowToReach.test(key)) return true;
  if (leadingElsewhere.test(key)) return false;
  return allowedKeys.has(key) || isOneOf(allowedForms, key);
}

const isOneOf = (forms: ReadonlyMap<string, readonly RegExp[]>, key: string) =>
  forms.get(sectionOf(key))?.some((form) => form.test(key)) ?? false;

interface Known {
  readonly names: ReadonlySet<string>;
  readonly forms: ReadonlyMap<string, readonly RegExp[]>;
}

let known: Promise<Known> | undefined;

/** What the git of this host says that it reads. */
async function knownToGit(run: RunNowhere): Promise<Known> {
  const { output } = await run(['help', '--config'], { takeBytes: maxListBytes });
  const names = output
    .toString()
    .split('\n')
    .filter((line) => /^[a-z][\w-]*\.\S/i.test(line));
  const [made, fixed] = [
    names.filter((name) => /[<*]/.test(name)),
    names.filter((name) => !/[<*]/.test(name)),
  ];
  return { names: plain(fixed), forms: bySection(made) };
}

/** @throws ToolError `forbidden` for a key that git reads and this list does not hold. */
export async function requireHarmlessKeys(all: Iterable<string>, run: RunNowhere): Promise<void> {
  const doubtful = [...all].filter((key) => !isHarmless(key));
  if (doubtful.length === 0) return;
  known ??= knownToGit(run);
  const { names, forms } = await known.catch((error: unknown) => {
    known = undefined;
    throw error;
  });
  const key = doubtful.find(
    (one) =>
      leadingElsewhere.test(one) || ownSections.has(sectionOf(one)) || names.has(one) || isOneOf(forms, one),
  );
  if (key === undefined) return;
  throw new ToolError('forbidden', `The repository is refused: its configuration sets ${key}.`, {
    hint: `It may lead git outside the repository. Its owner removes it: git config --unset-all ${key}`,
  });
}
