/** Asks every process of the fleet once a second, and holds what is known of each now. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Log } from '#runtime/account/log.ts';
import { probe, type Keeping, type Probe } from '#runtime/process/probe.ts';
import type { Readiness } from '#runtime/service.ts';

import type { Seen } from './anchors.ts';
import type { Canaries } from './canary.ts';
import {
  briefGapMs,
  type Change,
  type History,
  type KnownStatus,
  type Sample,
  type Uptime,
} from './history.ts';
import type { Keeper } from './keeper.ts';
import type { Round } from './keeper-thread.ts';
import type { Timeline } from './timeline.ts';
import { afterLook, noRun, worse, type Run } from './verdict.ts';

export interface Target {
  readonly name: string;
  readonly port: number;
  /** Whether it is meant to run: one that is not may be absent. */
  readonly expected: boolean;
}

/** `absent`: not running, and not meant to. `unknown`: not polled yet, or not come up yet. */
export interface ProcessState {
  readonly name: string;
  readonly status: KnownStatus | 'unknown';
  readonly latencyMs: number | null;
  readonly reason: string | null;
  /** When it came into this status; where health was away only briefly, also before. */
  readonly since: string | null;
  /** Its status changes again and again. */
  readonly flapping: boolean;
  /** How long its last fall took to be found: from the last good look to the verdict. */
  readonly detectionMs: number | null;
  /** Of the last canary; `null` before the first one, and where there is none. */
  readonly canaryMs: number | null;
  /** It answers its polls, and is down all the same: it does not do its job. */
  readonly canaryDown: boolean;
  readonly uptime: Uptime;
  readonly kept?: Keeping | undefined;
}

/** What is told of each look, for figures. */
export interface Watcher {
  readonly polled?: (name: string, latencyMs: number) => void;
  readonly delayed?: (delayMs: number) => void;
  readonly found?: (name: string, detectionMs: number) => void;
}

interface Options {
  readonly targets: readonly Target[];
  /** The name of this process, which is not asked over HTTP. */
  readonly self: string;
  readonly keeper: Pick<Keeper, 'keep' | 'trouble' | 'uptimes'>;
  /** What was known before health was started. */
  readonly history?: Pick<History, 'lastAtMs' | 'openTransitions'> | undefined;
  readonly canaries?: Pick<Canaries, 'answers' | 'fell' | 'state'> | undefined;
  readonly log: Log;
  readonly timeline: Timeline;
  readonly watcher?: Watcher;
  /** Between the beginnings of two rounds, once everyone has come up. A round ends before the next begins. */
  readonly intervalMs?: number;
  /** How long after the start a process that was never seen may still be coming up. */
  readonly graceMs?: number;
}

/** A fleet that is coming up is asked again so soon: its start ends with the round that finds everyone. */
const startingIntervalMs = 100;
/** A poll has this share of the time between two rounds, and polls of one round begin within this share: asked at once, they hold the loop for others. */
const deadlineShare = 0.8;
const spreadShare = 0.15;
/** More changes of status than this within ten minutes are no outages but one trouble. */
const mostChanges = 6;
const flappingMs = 600_000;
const noUptime: Uptime = { hour: null, day: null };

/** A process as it is known; moments are those of the timeline. */
interface Known {
  status: KnownStatus | 'unknown';
  polls: Run;
  /** When it was asked, the last time that it answered. */
  goodAtMs: number | undefined;
  sinceMs: number;
  reason: string | null;
  latencyMs: number | null;
  detectionMs: number | null;
  canaryDown: boolean;
  kept: Keeping | undefined;
  /** When its status changed, of late. */
  changes: number[];
  isFlapping: boolean;
  /** Whether this process has seen how its status began. */
  isSeen: boolean;
}

export class Poller implements AsyncDisposable {
  readonly #options: Options;
  readonly #timeline: Timeline;
  readonly #intervalMs: number;
  readonly #graceMs: number;
  readonly #startedAtMs: number;
  readonly #stop = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #known: ReadonlyMap<string, Known>;
  /** Statuses that a former process of health left behind a moment ago. */
  readonly #before: ReturnType<History['openTransitions']>;
  #round: Promise<void> | undefined;
  #dueAtMs: number;
  #beganAtMs: number | undefined;
  #endedAtMs: number | undefined;
  #soon: NodeJS.Timeout | undefined;
  #changes = 0;
  /** Nobody is waited for who may come up any moment. */
  #areUp = false;

  constructor(options: Options) {
    const { timeline, history, targets } = options;
    this.#options = options;
    this.#timeline = timeline;
    this.#intervalMs = options.intervalMs ?? 1_000;
    this.#graceMs = options.graceMs ?? 5_000;
    this.#startedAtMs = timeline.elapsedMs();
    const apartMs = timeline.dateMs() - (history?.lastAtMs ?? -Infinity);
    this.#before = history && apartMs >= 0 && apartMs < briefGapMs ? history.openTransitions() : new Map();
    this.#known = new Map(targets.map(({ name }) => [name, unknown()]));
    this.#dueAtMs = this.#startedAtMs;
    this.#timer = setInterval(() => this.#begin(), this.#intervalMs);
    this.#begin();
  }

  /** When the last round ended. */
  get polledAt(): string | null {
    return this.#endedAtMs === undefined ? null : this.#timeline.iso(this.#endedAtMs);
  }

  /** How often a status has changed since the start. */
  get changes(): number {
    return this.#changes;
  }

  state(name: string): ProcessState {
    const { keeper, canaries } = this.#options;
    const uptime = keeper.uptimes.get(name) ?? noUptime;
    const { status, latencyMs, reason, sinceMs, isFlapping, detectionMs, canaryDown, kept } =
      this.#known.get(name) ?? unknown();
    return {
      name,
      status,
      latencyMs,
      reason,
      since: status === 'unknown' ? null : this.#timeline.iso(sinceMs),
      flapping: isFlapping,
      detectionMs,
      canaryMs: canaries?.state(name).durationMs ?? null,
      canaryDown,
      uptime,
      kept,
    };
  }

  /** Of this process, whatever the fleet does; what is wrong with the fleet is a warning. */
  readiness(): Readiness {
    const { targets, keeper } = this.#options;
    const reasons: string[] = [];
    if (this.#endedAtMs === undefined) reasons.push('the first round of polls is not done');
    else if (this.#timeline.elapsedMs() - this.#endedAtMs > 2 * this.#intervalMs)
      reasons.push('the last polls are too old');
    if (keeper.trouble !== undefined) reasons.push(keeper.trouble);
    const warnings = targets.flatMap(({ name }) => {
      const { status, reason, flapping } = this.state(name);
      if (this.#endedAtMs === undefined) return [];
      if (status === 'down') return [`${name} is down: ${reason ?? ''}`];
      if (status === 'unknown') return [`${name} has not come up yet`];
      return flapping ? [`${name} changes again and again`] : [];
    });
    return { ready: reasons.length === 0, reasons, warnings };
  }

  #begin(): void {
    this.#round ??= this.#poll()
      .catch((error: unknown) => this.#options.log.error('round_broke', { error }))
      .finally(() => {
        this.#round = undefined;
      });
  }

  async #poll(): Promise<void> {
    const { targets, keeper, watcher } = this.#options;
    const beganAtMs = this.#timeline.elapsedMs();
    watcher?.delayed?.(Math.max(0, beganAtMs - this.#dueAtMs));
    this.#dueAtMs = beganAtMs + this.#intervalMs;
    const atMs = this.#timeline.dateMs(beganAtMs);
    const apartMs = this.#areUp ? (this.#intervalMs * spreadShare) / targets.length : 0;
    const round: Round & { samples: Sample[]; heads: Seen[]; changes: Change[] } = {
      atMs,
      samples: [],
      heads: [],
      changes: [],
      sincePreviousMs: this.#beganAtMs === undefined ? undefined : beganAtMs - this.#beganAtMs,
    };
    let isAnyStarting = false;
    await Promise.all(
      targets.map(async (target, index) => {
        await this.#pause(apartMs * index);
        const askedAtMs = this.#timeline.elapsedMs();
        const seen = await this.#ask(target);
        if (this.#stop.signal.aborted) return;
        // Judged at once: one that hangs must not hold up what is found of the others.
        if (this.#isStarting(target, seen)) isAnyStarting = true;
        else this.#judge(target, seen, askedAtMs, round);
      }),
    );
    if (this.#stop.signal.aborted) return;
    this.#areUp = !isAnyStarting;
    this.#beganAtMs = beganAtMs;
    this.#endedAtMs = this.#timeline.elapsedMs();
    if (isAnyStarting) {
      this.#dueAtMs = this.#endedAtMs + startingIntervalMs;
      this.#soon = setTimeout(() => this.#begin(), startingIntervalMs);
    }
    keeper.keep(round);
  }

  /** The fleet starts together: who has not come up yet is not down. */
  #isStarting({ name, expected }: Target, { result }: Probe): boolean {
    return (
      result === 'down' &&
      expected &&
      this.#known.get(name)?.status === 'unknown' &&
      this.#timeline.elapsedMs() < this.#startedAtMs + this.#graceMs
    );
  }

  #judge(
    { name, expected }: Target,
    seen: Probe & { readonly name: string },
    askedAtMs: number,
    round: { readonly samples: Sample[]; readonly heads: Seen[]; readonly changes: Change[] },
  ): void {
    const known = this.#known.get(name);
    if (!known) return;
    const { status: next } = afterLook(known.polls, seen.result);
    const isAbsent = seen.result === 'down' && !expected && next !== 'degraded';
    const { reason, result, latencyMs } = this.#take(known, seen, { isAbsent, askedAtMs }, round.changes);
    round.heads.push({ name, audit: seen.audit });
    if (!isAbsent) round.samples.push({ name, result, latencyMs, reason });
  }

  async #pause(ms: number): Promise<void> {
    if (ms > 0) await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => {});
  }

  async #ask(target: Target): Promise<Probe & { readonly name: string }> {
    const { name } = target;
    const { self, keeper, watcher } = this.#options;
    if (name === self) {
      const reason = keeper.trouble ?? null;
      return { name, result: reason === null ? 'up' : 'not_ready', latencyMs: null, reason };
    }
    const seen = await probe(target, this.#intervalMs * deadlineShare, this.#stop.signal);
    if (seen.latencyMs !== null) watcher?.polled?.(name, seen.latencyMs);
    return { name, ...seen };
  }

  /** Judges a look. @returns what counts for its history: one that lies is down, whatever its polls say. */
  #take(
    known: Known,
    seen: Probe & { readonly name: string },
    { isAbsent, askedAtMs }: { readonly isAbsent: boolean; readonly askedAtMs: number },
    changes: Change[],
  ): Pick<Sample, 'result' | 'reason' | 'latencyMs'> {
    const { name, result, latencyMs } = seen;
    const { canaries } = this.#options;
    const nowMs = this.#timeline.elapsedMs();
    const hadFallen = known.polls.status === 'down';
    known.polls = isAbsent ? noRun : afterLook(known.polls, result);
    if (result !== 'down' && known.polls.status !== 'down') canaries?.answers(name, seen);
    if (isAbsent || (known.polls.status === 'down' && !hadFallen)) canaries?.fell(name);
    const canary = canaries?.state(name);
    const status = isAbsent ? 'absent' : worse(known.polls.status, canary?.run.status ?? 'unknown');
    const isByCanary = !isAbsent && status !== known.polls.status;
    const reason = isByCanary ? (canary?.reason ?? null) : seen.reason;
    if (status !== known.status && status !== 'unknown') {
      const goodAtMs = isByCanary ? canary?.goodAtMs : known.goodAtMs;
      const detectionMs = status === 'down' && goodAtMs !== undefined ? Math.round(nowMs - goodAtMs) : null;
      changes.push(this.#change(name, known, status, reason, detectionMs, nowMs));
    }
    if (result !== 'down') known.goodAtMs = askedAtMs;
    known.latencyMs = latencyMs;
    known.canaryDown = isByCanary && status === 'down';
    known.kept = seen.kept;
    // While it is down, the reason is why it fell or what it says now; one good answer is none.
    if (status !== 'down' || reason !== null) known.reason = isAbsent ? null : reason;
    this.#forgetOld(known, nowMs);
    return known.canaryDown ? { result: 'down', reason, latencyMs } : seen;
  }

  #change(
    name: string,
    known: Known,
    to: KnownStatus,
    reason: string | null,
    detectionMs: number | null,
    nowMs: number,
  ): Change {
    const { log, watcher } = this.#options;
    const { status: from, sinceMs, isSeen } = known;
    const before = from === 'unknown' ? this.#before.get(name) : undefined;
    known.status = to;
    known.isSeen = before?.to !== to;
    known.sinceMs = before?.to === to ? nowMs - (this.#timeline.dateMs(nowMs) - before.atMs) : nowMs;
    if (to === 'down') known.detectionMs = detectionMs;
    if (from !== 'unknown') {
      this.#changes += 1;
      known.changes.push(nowMs);
      log.info('status_changed', { process: name, from, to, reason, detectionMs });
    }
    if (detectionMs !== null) watcher?.found?.(name, detectionMs);
    const heldMs = from !== 'unknown' && isSeen ? Math.round(nowMs - sinceMs) : null;
    return { name, atMs: this.#timeline.dateMs(nowMs), from, to, reason, detectionMs, heldMs };
  }

  #forgetOld(known: Known, nowMs: number): void {
    while (known.changes[0] !== undefined && known.changes[0] <= nowMs - flappingMs) known.changes.shift();
    known.isFlapping = known.changes.length > mostChanges;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    this.#stop.abort();
    await this.#round;
  }
}

function unknown(): Known {
  return {
    status: 'unknown',
    polls: noRun,
    goodAtMs: undefined,
    sinceMs: 0,
    reason: null,
    latencyMs: null,
    detectionMs: null,
    canaryDown: false,
    kept: undefined,
    changes: [],
    isFlapping: false,
    isSeen: false,
  };
}
