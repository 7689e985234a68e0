/** Asks every process of the fleet once a second, and holds what is known of each now. */
import type { Log } from '#runtime/account/log.ts';
import type { Readiness } from '#runtime/service.ts';

import type { Anchors } from './anchors.ts';
import type { History, Sample, Uptime } from './history.ts';
import { probe, type Keeping } from '#runtime/process/probe.ts';
import { verdictOf, type Status } from './verdict.ts';

export interface Target {
  readonly name: string;
  readonly port: number;
  /** Whether it is meant to run: one that is not may be absent. */
  readonly expected: boolean;
}

/** `absent`: not running, and not meant to. `unknown`: not polled yet. */
export interface ProcessState {
  readonly name: string;
  readonly status: Status | 'absent' | 'unknown';
  readonly latencyMs: number | null;
  readonly reason: string | null;
  /** When it came into this status, as far as this process has seen. */
  readonly since: string | null;
  readonly uptime: Uptime;
  readonly kept?: Keeping | undefined;
}

interface Options {
  readonly targets: readonly Target[];
  /** The name of this process, which is not asked over HTTP. */
  readonly self: string;
  readonly history: History;
  readonly anchors: Pick<Anchors, 'record'>;
  readonly log: Log;
  readonly now: () => number;
  /** Between the beginnings of two rounds, once everyone has come up. A round ends before the next begins. */
  readonly intervalMs?: number;
  /** How long after the start a process that was never seen may still be coming up. */
  readonly graceMs?: number;
}

/** A fleet that is coming up is asked again so soon: its start ends with the round that finds everyone. */
const startingIntervalMs = 100;
/** Uptimes are summed up anew after so many rounds, and after each of the first ones. */
const roundsPerUptime = 10;
const noUptime: Uptime = { hour: null, day: null };

export class Poller implements AsyncDisposable {
  readonly #options: Options;
  readonly #intervalMs: number;
  readonly #graceMs: number;
  readonly #startedAtMs: number;
  readonly #stop = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #states = new Map<string, ProcessState>();
  readonly #results = new Map<string, Sample['result']>();
  #uptimes: ReadonlyMap<string, Uptime> = new Map();
  #round: Promise<void> | undefined;
  #rounds = 0;
  #polledAtMs: number | undefined;
  #soon: NodeJS.Timeout | undefined;
  #writable = true;

  constructor(options: Options) {
    this.#options = options;
    this.#intervalMs = options.intervalMs ?? 1_000;
    this.#graceMs = options.graceMs ?? 5_000;
    this.#startedAtMs = options.now();
    this.#timer = setInterval(() => this.#begin(), this.#intervalMs);
    this.#begin();
  }

  /** When the last round ended. */
  get polledAt(): string | null {
    return this.#polledAtMs === undefined ? null : new Date(this.#polledAtMs).toISOString();
  }

  state(name: string): ProcessState {
    const uptime = this.#uptimes.get(name) ?? noUptime;
    const state = this.#states.get(name);
    return state
      ? { ...state, uptime }
      : { name, status: 'unknown', latencyMs: null, reason: null, since: null, uptime };
  }

  /** Follows the fleet: not ready while a process that is meant to run is down, or while nothing new is known. */
  readiness(): Readiness {
    const { targets, now } = this.#options;
    const reasons: string[] = [];
    if (this.#polledAtMs === undefined) reasons.push('the first round of polls is not done');
    else if (now() - this.#polledAtMs > 2 * this.#intervalMs) reasons.push('the last polls are too old');
    if (!this.#writable) reasons.push('the history cannot be written');
    for (const { name } of targets) {
      const { status, reason } = this.state(name);
      if (status === 'down') reasons.push(`${name} is down: ${reason ?? ''}`);
      if (status === 'unknown' && this.#polledAtMs !== undefined) reasons.push(`${name} has not come up yet`);
    }
    return { ready: reasons.length === 0, reasons };
  }

  #begin(): void {
    this.#round ??= this.#poll()
      .catch((error: unknown) => this.#options.log.error('round_broke', { error }))
      .finally(() => {
        this.#round = undefined;
      });
  }

  async #poll(): Promise<void> {
    const { targets, history, anchors, now } = this.#options;
    const atMs = now();
    const samples = await Promise.all(targets.map(async (target) => this.#ask(target)));
    if (this.#stop.signal.aborted) return;

    const due: Sample[] = [];
    let isAnyStarting = false;
    for (const [index, sample] of samples.entries()) {
      const absent = sample.result === 'down' && targets[index]?.expected === false;
      // The fleet starts together: who has not come up yet is not down.
      const isStarting =
        !absent &&
        sample.result === 'down' &&
        !this.#states.has(sample.name) &&
        atMs < this.#startedAtMs + this.#graceMs;
      isAnyStarting ||= isStarting;
      if (isStarting) continue;
      if (!absent) due.push(sample);
      this.#take(sample, absent, atMs);
    }
    this.#polledAtMs = now();
    if (isAnyStarting) this.#soon = setTimeout(() => this.#begin(), startingIntervalMs);
    this.#write(() => {
      history.record(atMs, due);
      anchors.record(atMs, samples);
      if (this.#rounds < roundsPerUptime || this.#rounds % roundsPerUptime === 0) {
        this.#uptimes = history.uptimes(atMs);
      }
      this.#rounds += 1;
    });
  }

  async #ask(target: Target): Promise<Sample> {
    const { name } = target;
    if (name === this.#options.self) {
      return this.#writable
        ? { name, result: 'up', latencyMs: null, reason: null }
        : { name, result: 'not_ready', latencyMs: null, reason: 'the history cannot be written' };
    }
    return { name, ...(await probe(target, this.#intervalMs * 0.8, this.#stop.signal)) };
  }

  #take({ name, result, latencyMs, reason, kept }: Sample, absent: boolean, atMs: number): void {
    const status = absent ? 'absent' : verdictOf(result, this.#results.get(name));
    this.#results.set(name, result);
    const before = this.#states.get(name);
    const since = before?.status === status ? before.since : new Date(atMs).toISOString();
    if (before && before.status !== status) {
      this.#options.log.info('status_changed', { process: name, from: before.status, to: status, reason });
    }
    this.#states.set(name, {
      name,
      status,
      latencyMs,
      reason: absent ? null : reason,
      since,
      uptime: noUptime,
      kept,
    });
  }

  /** A full disk must not end the polling: what is known now stays true, and `/ready` tells of it. */
  #write(write: () => void): void {
    try {
      write();
      this.#writable = true;
    } catch (error) {
      if (this.#writable) this.#options.log.error('history_not_written', { error });
      this.#writable = false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    this.#stop.abort();
    await this.#round;
  }
}
