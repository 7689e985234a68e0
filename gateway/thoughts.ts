/**
 * Thoughts of sequential-thinking become chains of reasoning-capture, some time after they were thought: of each token that
 * thinks through the gateway, in its name, so that the chains are its own as the sessions are. How far it has come is kept.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { mayUse } from '#runtime/access/choice.ts';
import { allowedEffect, covers } from '#runtime/access/scope.ts';
import type { Log } from '#runtime/account/log.ts';
import { writeFileAtomic } from '#runtime/files.ts';

import { askTool, AskError } from './asking.ts';
import type { Seen } from './eyes.ts';
import type { Upstream } from './upstream.ts';

/** How long thoughts are gathered. */
const gatherMs = 2_000;
const shortestDelayMs = 500;
const longestDelayMs = 30_000;
/** Sessions of a token that are looked at, the newest of them, and how many a list names at once. */
const mostSessions = 5_000;
const sessionsAtOnce = 200;
const thoughtsAtOnce = 500;
/** Of a token, the places in so many sessions are kept; of others, thoughts are sent again and known there. */
const mostPlaces = 100;
const mostTokens = 1_000;
/** A session that was used so long before the last one may still come: what took long is dated when it began. */
const overlapMs = 10 * 60_000;
const stopMs = 900;

/** Tools that are called in the token's name: one with a choice of tools that leaves them out keeps its thoughts to itself. */
const needed = (
  [
    ['sequential-thinking', 'list_sessions', true],
    ['sequential-thinking', 'get_session', true],
    ['reasoning-capture', 'start_chain', true],
    ['reasoning-capture', 'capture_batch', false],
  ] as const
).map(([service, name, isCore]) => ({ service, names: [name], isCore }));

/** Tools that add thoughts. */
const thinkingTools = new Set(['sequentialthinking', 'import_session']);

const stateSchema = z.strictObject({
  tokens: z.record(
    z.string(),
    z.strictObject({
      /** Of the token's secret, as in the list of tokens. */
      hash: z.string(),
      /** When the newest session that was read was used last. */
      until: z.string(),
      /** Thoughts of sessions that are there already, the newest sessions last. */
      places: z.record(z.string(), z.int().min(0)),
    }),
  ),
});

/** How far a token has been read. */
interface Place {
  readonly hash: string;
  until: string;
  readonly places: Map<string, number>;
}
type State = Map<string, Place>;

const sessionSchema = z.looseObject({
  session_id: z.string(),
  title: z.string().optional(),
  thoughts: z.int(),
  updated_at: z.string(),
});
type Session = z.output<typeof sessionSchema>;
const listSchema = z.looseObject({
  sessions: z.array(sessionSchema),
  next_cursor: z.string().optional(),
});
const thoughtSchema = z.looseObject({
  position: z.int(),
  thoughtNumber: z.int(),
  totalThoughts: z.int(),
  nextThoughtNeeded: z.boolean(),
  isRevision: z.boolean().optional(),
  thought: z.string(),
  offset: z.int().optional(),
  at: z.string(),
});
type Thought = z.output<typeof thoughtSchema>;
const pageSchema = z.looseObject({ thoughts: z.array(thoughtSchema), next_cursor: z.string().optional() });
const capturedSchema = z.looseObject({
  accepted: z.int(),
  rejected_count: z.int(),
  rejected: z.array(z.looseObject({ reason: z.string() })),
});

/** The chain of a session: whoever sends a session again comes to the same chain. */
export const chainOf = (session: string) =>
  createHash('sha256').update(`sequential-thinking ${session}`).digest('hex').slice(0, 32);

/** A thought as a step: what a model says of its own thinking by calling a tool is its own report. */
export function stepOf(thought: Thought): Readonly<Record<string, unknown>> {
  const { position, thought: content, at, offset: _offset, ...attrs } = thought;
  return {
    seq: position,
    type: attrs.isRevision === true ? 'reflection' : 'analysis',
    content,
    ts: at,
    provenance: 'self_report',
    attrs: { source: 'sequential-thinking', ...attrs },
  };
}

interface Surroundings {
  readonly thinking: Upstream;
  readonly capture: Upstream;
  readonly file: string;
  readonly log: Log;
  /** Whether the token with this hash is still good. */
  readonly isAlive: (hash: string) => boolean;
}

export class Thoughts implements AsyncDisposable {
  readonly #about: Surroundings;
  readonly #state: State;
  /** Tokens that have thought since they were read. */
  readonly #behind: Set<string>;
  readonly #over = new AbortController();
  readonly #counts = { copied: 0, refused: 0 };
  #running: Promise<void> | undefined;
  #isStopping = false;
  /** Since it was kept. */
  #isChanged = false;
  #wake = new AbortController();

  constructor(about: Surroundings) {
    this.#about = about;
    this.#state = read(about.file, about.log);
    this.#behind = new Set(this.#state.keys());
    if (this.#behind.size > 0) this.#running = this.#run();
  }

  /** Takes notice of a call; never waits, never throws. */
  saw({ service, tool, caller, outcome }: Seen): void {
    if (outcome !== 'ok' || service !== 'sequential-thinking' || !thinkingTools.has(tool)) return;
    const { name, hash, scope } = caller;
    const mayCopy =
      covers(allowedEffect(scope, 'reasoning-capture'), 'write') &&
      needed.every((one) => mayUse(caller, one));
    if (!mayCopy) return;
    const known = this.#state.get(name);
    if (known?.hash !== hash) {
      if (!known && this.#state.size >= mostTokens) {
        this.#counts.refused += 1;
        return;
      }
      this.#state.set(name, { until: '', places: new Map(), ...known, hash });
      this.#isChanged = true;
    }
    this.#behind.add(name);
    if (!this.#isStopping) this.#running ??= this.#run();
  }

  /** Since the start. */
  get state() {
    return { ...this.#counts, behind: this.#behind.size };
  }

  async #run(): Promise<void> {
    let delayMs = 0;
    while (this.#behind.size > 0 && !this.#isStopping) {
      // oxlint-disable-next-line no-await-in-loop -- some time between one look and the next
      await sleep(delayMs || gatherMs, undefined, { signal: this.#wake.signal, ref: false }).catch(() => {});
      let isAway = false;
      for (const name of this.#behind) {
        this.#behind.delete(name);
        // oxlint-disable-next-line no-await-in-loop -- one token after the other
        if (await this.#copy(name)) continue;
        this.#behind.add(name);
        isAway = true;
        break;
      }
      this.#save();
      delayMs = isAway ? Math.min(Math.max(2 * delayMs, shortestDelayMs), longestDelayMs) : 0;
    }
    this.#running = undefined;
  }

  #save(): void {
    if (!this.#isChanged) return;
    try {
      const tokens = Object.fromEntries(
        [...this.#state].map(([name, at]) => [name, { ...at, places: Object.fromEntries(at.places) }]),
      );
      writeFileAtomic(this.#about.file, `${JSON.stringify({ tokens })}\n`);
      this.#isChanged = false;
    } catch (error) {
      this.#about.log.warn('thoughts_cursor_not_kept', { error });
    }
  }

  /** @returns whether that is all for now: `false` where it is worth trying again. */
  async #copy(name: string): Promise<boolean> {
    const place = this.#state.get(name);
    if (!place) return true;
    if (!this.#about.isAlive(place.hash)) {
      this.#state.delete(name);
      this.#isChanged = true;
      return true;
    }
    try {
      for (const session of await this.#newSessions(place)) {
        // oxlint-disable-next-line no-await-in-loop -- the oldest first: what follows is found again
        await this.#copySession(place, session).catch((error: unknown) => {
          // Its chain was taken away: the others come all the same.
          if (!(error instanceof AskError) || error.code !== 'conflict') throw error;
          this.#refuse(name, error);
          place.places.set(session.session_id, session.thoughts);
        });
        if (session.updated_at > place.until) place.until = session.updated_at;
      }
      return true;
    } catch (error) {
      if (error instanceof AskError && error.isPassing) return false;
      if (this.#isStopping) return false;
      // There is no room for it, or its scope has changed: looked at again with its next thought.
      this.#refuse(name, error);
      return true;
    }
  }

  #refuse(caller: string, error: unknown): void {
    this.#counts.refused += 1;
    this.#about.log.warn('thoughts_not_captured', { caller, reason: String(error) });
  }

  /** Those with thoughts that are not there yet, the oldest first. */
  async #newSessions(place: Place): Promise<readonly Session[]> {
    const since = place.until === '' ? '' : new Date(Date.parse(place.until) - overlapMs).toISOString();
    const found: Session[] = [];
    let cursor: string | undefined;
    do {
      const args = { limit: sessionsAtOnce, ...(cursor !== undefined && { cursor }) };
      // oxlint-disable-next-line no-await-in-loop -- page by page
      const page = listSchema.parse(await this.#ask(this.#about.thinking, place, 'list_sessions', args));
      const isNew = ({ updated_at: at }: Session) => at >= since;
      found.push(...page.sessions.filter(isNew));
      cursor = page.sessions.every(isNew) ? page.next_cursor : undefined;
    } while (cursor !== undefined && found.length < mostSessions);
    return found
      .filter(({ session_id: id, thoughts }) => thoughts > (place.places.get(id) ?? 0))
      .toReversed();
  }

  async #copySession(place: Place, session: Session): Promise<void> {
    const { session_id: id } = session;
    const from = (place.places.get(id) ?? 0) + 1;
    await this.#begin(place, session);
    let cursor: string | undefined;
    /** A long thought comes in parts. */
    let unfinished: Thought | undefined;
    do {
      const args = { session_id: id, from, limit: thoughtsAtOnce, ...(cursor !== undefined && { cursor }) };
      let page: z.output<typeof pageSchema>;
      try {
        // oxlint-disable-next-line no-await-in-loop -- page by page
        page = pageSchema.parse(await this.#ask(this.#about.thinking, place, 'get_session', args));
      } catch (error) {
        if (error instanceof AskError && error.code === 'not_found') return; // It was deleted.
        throw error;
      }
      const whole: Thought[] = [];
      for (const part of page.thoughts) {
        if (unfinished && (part.offset ?? 0) === 0) whole.push(unfinished);
        unfinished =
          unfinished && (part.offset ?? 0) > 0
            ? { ...unfinished, thought: unfinished.thought + part.thought }
            : part;
      }
      cursor = page.next_cursor;
      if (unfinished && cursor === undefined) whole.push(unfinished);
      // oxlint-disable-next-line no-await-in-loop -- likewise
      if (whole.length > 0) await this.#capture(place, id, whole);
    } while (cursor !== undefined);
  }

  async #begin(place: Place, { session_id: id, title }: Session): Promise<void> {
    const attrs = { source: 'sequential-thinking', session: id };
    const goal = title !== undefined && { goal: title };
    try {
      const facts = { chain_id: chainOf(id), model: 'unknown', ...goal, attrs };
      await this.#ask(this.#about.capture, place, 'start_chain', facts);
    } catch (error) {
      // It was begun with the first thoughts.
      if (!(error instanceof AskError) || error.code !== 'conflict') throw error;
    }
  }

  async #capture(place: Place, id: string, thoughts: readonly Thought[]): Promise<void> {
    const last = thoughts.at(-1)?.position ?? 0;
    const answer = await this.#ask(this.#about.capture, place, 'capture_batch', {
      batch_id: `sequential-thinking/${id}/${thoughts[0]?.position}-${last}`,
      chain_id: chainOf(id),
      steps: thoughts.map(stepOf),
    });
    const { accepted, rejected_count: rejected, rejected: faults } = capturedSchema.parse(answer);
    this.#counts.copied += accepted;
    this.#counts.refused += rejected;
    if (rejected > 0)
      this.#about.log.warn('thoughts_refused', { count: rejected, reason: faults[0]?.reason });
    // The newest goes to the end.
    place.places.delete(id);
    place.places.set(id, last);
    this.#isChanged = true;
    const [oldest = ''] = place.places.keys();
    if (place.places.size > mostPlaces) place.places.delete(oldest);
  }

  async #ask(
    upstream: Upstream,
    { hash }: Place,
    tool: string,
    args: Readonly<Record<string, unknown>>,
  ): Promise<unknown> {
    return askTool(upstream, () => upstream.authorization(hash), tool, args, this.#over.signal);
  }

  /** What is not copied yet is found after the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    this.#wake.abort();
    await Promise.race([this.#running, sleep(stopMs, undefined, { ref: false })]);
    this.#over.abort(new AskError('cancelled', 'the gateway stops'));
    await this.#running;
    this.#save();
  }
}

/** A file that cannot be read is begun anew: what is sent again is known there. */
function read(file: string, log: Log): State {
  if (!existsSync(file)) return new Map();
  try {
    const { tokens } = stateSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
    return new Map(
      Object.entries(tokens).map(([name, at]) => [
        name,
        { ...at, places: new Map(Object.entries(at.places)) },
      ]),
    );
  } catch (error) {
    log.warn('thoughts_cursor_lost', { error });
    return new Map();
  }
}
