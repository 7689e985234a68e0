/** All that the tools of this service depend on: the interpreter, the sessions that are kept, and those that are awake. */
import { ToolError } from '#runtime/errors.ts';
import type { Level, Limits, Violation } from '#runtime/launcher.ts';
import { openPrecedence } from '#runtime/precedence.ts';
import type { Maker } from '#runtime/sandbox.ts';
import type { Call } from '#runtime/tool.ts';

import { findHost, type Host } from './interpreter.ts';
import {
  listTimeoutMs,
  maxFilesPerSession,
  maxImageBytes,
  maxImages,
  maxPathLength,
  maxWaiting,
} from './limits.ts';
import type { Message } from './messages.ts';
import { isFilePath } from './paths.ts';
import { openPlaces, type Place } from './places.ts';
import { piecesOf, startProgram, type Answer, type Program, type Question } from './program.ts';
import type { Intake, Session, Store } from './store.ts';

export interface Choices {
  readonly level: Level;
  readonly limits: Limits;
  readonly interpreter: string | undefined;
  /** Most interpreters at once. */
  readonly programs: number;
  /** Most memory of all of them together, files in memory included. */
  readonly totalBytes: number;
  readonly idleMs: number;
  readonly maker?: Maker;
}

export interface Work {
  readonly code: string;
  readonly globals: Readonly<Record<string, unknown>>;
  readonly timeoutMs: number;
}

export interface Done extends Answer {
  readonly images: readonly Buffer[];
  /** Of the session: what was written and removed. */
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** What could not be kept, and why. */
  readonly notKept: readonly string[];
  readonly whyNotKept: string | undefined;
  /** The session had an interpreter before, whose variables are gone. */
  readonly isAnew: boolean;
}

/** As much of a call as a run by itself needs. */
export type Running = Pick<Call, 'caller' | 'signal' | 'progress'>;

interface Awake {
  readonly place: Place;
  readonly program: Program;
  /** Of files that were written since the program read them. */
  readonly stale: Set<string>;
  /** Of the run before: whether its files were stored, and which of them were not. */
  wereFilesKept: boolean;
  unkept: readonly string[];
}

export type Python = ReturnType<typeof openPython>;

export function openPython(store: Store, choices: Choices) {
  const awake = new Map<number, Awake>();
  /** Of the sessions whose interpreters are being started. */
  const starting = new Map<number, Place>();
  /** The last of those that wait for a session, and how many they are. */
  const lines = new Map<number, { last: Promise<void>; waiting: number }>();
  const precedence = openPrecedence();
  const places = openPlaces(choices.programs, choices.totalBytes, (place) => void leave(place));
  let working = 0;
  let holding: NodeJS.Timeout | undefined;
  /** What fits into the folder of a session that is awake: see the launcher. */
  const { most, policy } = choices.limits.diskBytes ?? { most: Number.MAX_SAFE_INTEGER, policy: 'hard' };
  const folderBytes = policy === 'hard' ? most : 2 * most;
  let host: Promise<Host> | undefined;
  const { signal: closing, abort: close } = closer();

  const sleeping = setInterval(() => {
    const beforeMs = performance.now() - choices.idleMs;
    for (const { place } of awake.values()) if (!place.isBusy && place.usedAtMs < beforeMs) void leave(place);
  }, idleLookMs);
  sleeping.unref();

  /** One that failed is looked for again: it may have been installed meanwhile. */
  async function theHost(): Promise<Host> {
    host ??= findHost(choices);
    try {
      return await host;
    } catch (error) {
      host = undefined;
      throw error;
    }
  }

  async function sleep(id: number): Promise<void> {
    const place = awake.get(id)?.place ?? starting.get(id);
    starting.delete(id);
    if (place) await leave(place);
  }

  async function leave(place: Place): Promise<void> {
    if (place.session !== undefined) awake.delete(place.session);
    await places.giveBack(place);
  }

  /** All that are at work are held to the memory of all, until none is. */
  async function atWork<Value>(place: Place, work: () => Promise<Value>): Promise<Value> {
    place.isBusy = true;
    working += 1;
    holding ??= setInterval(() => places.holdMemory(), holdEveryMs);
    try {
      return await work();
    } finally {
      place.isBusy = false;
      place.usedAtMs = performance.now();
      working -= 1;
      if (working === 0) {
        clearInterval(holding);
        holding = undefined;
      }
      places.holdMemory();
    }
  }

  /** Of one session one thing at a time, in the order in which they came. */
  async function inLine<Value>(
    { id }: Session,
    { signal }: Call,
    work: () => Promise<Value>,
  ): Promise<Value> {
    const line = lines.get(id) ?? { last: Promise.resolve(), waiting: 0 };
    if (line.waiting >= maxWaiting) {
      throw new ToolError('unavailable', `${maxWaiting} calls wait for this session already.`, {
        hint: 'Wait for them, or end what runs with interrupt_python.',
      });
    }
    lines.set(id, line);
    line.waiting += 1;
    const before = line.last;
    const { promise, resolve } = Promise.withResolvers<void>();
    line.last = promise;
    const { promise: gaveUp, reject } = Promise.withResolvers<never>();
    const giveUp = () => reject(signal.reason as Error);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      if (signal.aborted) giveUp();
      await Promise.race([before, gaveUp]);
      return await work();
    } finally {
      signal.removeEventListener('abort', giveUp);
      line.waiting -= 1;
      // Whoever gave up still stands before those behind it, until its own turn would have come.
      void before.then(resolve);
      if (line.waiting === 0) void before.then(() => line.waiting === 0 && lines.delete(id));
    }
  }

  async function wake(session: Session): Promise<{ readonly one: Awake; readonly isAnew: boolean }> {
    const known = awake.get(session.id);
    if (known?.program.isAlive()) {
      // From here on, for another one may be looking for a place.
      known.place.isBusy = true;
      return { one: known, isAnew: false };
    }
    if (known) await leave(known.place);
    const place = places.take(session.owner, session.id);
    starting.set(session.id, place);
    try {
      const program = await startProgram(await theHost(), session.owner, precedence);
      place.program = program;
      if (!starting.delete(session.id)) throw wasReset();
      const stale = new Set(eachFile(session.id).map(({ path }) => path));
      const one: Awake = { place, program, stale, wereFilesKept: true, unkept: [] };
      awake.set(session.id, one);
      return { one, isAnew: session.runs > 0 };
    } catch (error) {
      starting.delete(session.id);
      await leave(place);
      throw error;
    }
  }

  function eachFile(session: number) {
    const all = [];
    for (let page = store.files(session, '', filesPerPage); page.length > 0;) {
      all.push(...page);
      page = page.length < filesPerPage ? [] : store.files(session, page.at(-1)?.path ?? '', filesPerPage);
    }
    return all;
  }

  async function give(one: Awake, session: number, signal: AbortSignal): Promise<void> {
    try {
      for (const path of one.stale) {
        signal.throwIfAborted();
        const file = store.file(session, path);
        if (file) await one.program.put(path, store.pieces(file), signal);
        one.stale.delete(path);
        await new Promise(setImmediate);
      }
    } catch (error) {
      await one.program.rest();
      throw error;
    }
  }

  async function ask(
    session: Session,
    head: object,
    timeoutMs: number,
    call: Call,
    take?: (message: Message) => void,
  ) {
    const { one, isAnew } = await wake(session);
    try {
      return await atWork(one.place, async () => {
        await give(one, session.id, call.signal);
        const { wereFilesKept, unkept } = one;
        const question = { head: { ...head, wereFilesKept, unkept }, timeoutMs, staysAlive: true };
        // Until that is known of this run: its call may be cancelled, or the disk be full.
        if (take) one.wereFilesKept = false;
        const answer = await one.program.ask({ ...question, ...(take && { take }) }, call);
        return { one, isAnew, answer };
      });
    } catch (error) {
      throw awake.get(session.id) !== one && !call.signal.aborted ? wasReset() : error;
    } finally {
      if (!one.program.isAlive() && awake.get(session.id) === one) await leave(one.place);
      void sweep();
    }
  }

  /** In a session, which keeps what it leaves behind. */
  async function runIn(session: Session, work: Work, call: Call): Promise<Done> {
    return inLine(session, call, async () => {
      // It may have been closed meanwhile.
      const current = store.get(session.handle, call);
      const images: Buffer[] = [];
      const taking = takeFiles(store.intake(current.id), folderBytes);
      const take = ({ head, data }: Message) => {
        if (head['is'] === 'image') takeImage(images, data);
        else taking.take({ head, data });
      };
      try {
        const head = {
          op: 'run',
          code: work.code,
          globals: work.globals,
          hasFiles: true,
          mostBytes: folderBytes,
        };
        store.used(current.id, call);
        const { one, isAnew, answer } = await ask(current, head, work.timeoutMs, call, take);
        const kept = answer.head ? taking.keep(call) : nothingKept;
        one.wereFilesKept = kept.why === undefined;
        one.unkept = kept.unkept;
        for (const path of namesIn(answer.head?.['unwritten']).slice(0, maxFilesPerSession))
          if (isFilePath(path)) one.stale.add(path);
        for (const path of [...kept.changed, ...kept.removed])
          call.resourceUpdated(fileUri(current.handle, path));
        const { changed, removed, why: whyNotKept } = kept;
        return {
          ...answer,
          images,
          changed,
          removed,
          whyNotKept,
          notKept: [...kept.unkept, ...namesIn(answer.head?.['left'])],
          isAnew,
        };
      } finally {
        taking.drop();
      }
    });
  }

  /**
   * By itself: nothing was there before, and nothing is left.
   *
   * @param want answers what the code calls of the fleet; without, there is no fleet for it.
   */
  async function runAlone(
    { code, globals, timeoutMs }: Work,
    call: Running,
    want?: Question['want'],
  ): Promise<Done> {
    const images: Buffer[] = [];
    const head = { op: 'run', code, globals, hasFiles: false, hasFleet: want !== undefined };
    const take = ({ head: { is }, data }: Message) => {
      if (is === 'image') takeImage(images, data);
    };
    const answer = await alone(call, async (program) =>
      program.ask({ head, timeoutMs, staysAlive: false, take, ...(want && { want }) }, call),
    );
    return { ...answer, images, changed: [], removed: [], notKept: [], whyNotKept: undefined, isAnew: false };
  }

  async function alone<Value>(
    { caller }: Running,
    work: (program: Program) => Promise<Value>,
  ): Promise<Value> {
    const place = places.take(caller);
    try {
      return await atWork(place, async () =>
        work((place.program = await startProgram(await theHost(), place.owner, precedence))),
      );
    } finally {
      await leave(place);
    }
  }

  let isSweeping = false;

  /** Frees the room of files that are gone, between other work. */
  async function sweep(): Promise<void> {
    if (isSweeping) return;
    isSweeping = true;
    try {
      for (let hasMore = true; hasMore; hasMore = !closing.aborted && store.sweep())
        await new Promise(setImmediate);
    } catch (error) {
      // The disk is full, say: it goes on after the next work.
      if (!(error instanceof ToolError)) throw error;
    } finally {
      isSweeping = false;
    }
  }
  void sweep();

  return {
    choices,
    store,
    runIn,
    runAlone,
    isAwake: (session: Session): boolean => awake.get(session.id)?.program.isAlive() === true,
    isBusy: (session: Session): boolean =>
      starting.has(session.id) || awake.get(session.id)?.place.isBusy === true,
    interrupt: (session: Session): boolean => awake.get(session.id)?.program.interrupt() ?? false,

    /** Of one that sleeps there are none. */
    variablesOf: async (session: Session, slice: Slice, call: Call): Promise<Rows> =>
      inLine(session, call, async () => {
        if (!awake.get(session.id)?.program.isAlive()) return { rows: [], total: 0 };
        const { answer } = await ask(session, { op: 'variables', ...slice }, listTimeoutMs, call);
        return rowsOf(answer);
      }),

    packages: async (slice: Slice, call: Call): Promise<Rows> =>
      alone(call, async (program) => {
        const question = { head: { op: 'packages', ...slice }, timeoutMs: listTimeoutMs, staysAlive: false };
        return rowsOf(await program.ask(question, call));
      }),

    version: async (): Promise<string> => (await theHost()).version,

    /** Also where the program has it open: it is given to it before the next run. */
    writeFile(session: Session, path: string, bytes: Uint8Array, call: Call): void | Promise<void> {
      const write = () => {
        store.requirePlace(session.id, path);
        store.requireRoom(session.id, path, bytes.length, folderBytes);
        const intake = store.intake(session.id);
        try {
          intake.file(path);
          for (const piece of piecesOf(bytes)) intake.part(piece);
          intake.keep(call);
        } finally {
          intake.drop();
          void sweep();
        }
        awake.get(session.id)?.stale.add(path);
        call.resourceUpdated(fileUri(session.handle, path));
      };
      // At once, it shares a commit with others.
      return lines.has(session.id) ? inLine(session, call, async () => write()) : write();
    },

    /** Ends its interpreter at once, whatever it does. */
    reset: async (session: Session, keepsFiles: boolean): Promise<number> => {
      await sleep(session.id);
      if (keepsFiles) return 0;
      const count = store.clear(session.id);
      void sweep();
      return count;
    },

    close: async (session: Session): Promise<void> => {
      await sleep(session.id);
      store.remove(session.id);
      void sweep();
    },

    /** Why no Python can be run; `undefined` where one can. */
    trouble: async (): Promise<string | undefined> => {
      try {
        if (!(await theHost()).isThere()) host = undefined;
        await theHost();
        return undefined;
      } catch (error) {
        if (error instanceof ToolError) return [error.message, error.hint ?? ''].join(' ').trim();
        throw error;
      }
    },

    async [Symbol.asyncDispose]() {
      close();
      clearInterval(sleeping);
      clearInterval(holding);
      await Promise.all([...awake.keys()].map(sleep));
      store[Symbol.dispose]();
    },
  };
}

function closer() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

const wasReset = () =>
  new ToolError('conflict', 'The session was reset or closed before its interpreter had begun.', {
    hint: 'Run the code again, in a session that is open.',
  });

const idleLookMs = 10_000;
const holdEveryMs = 100;
const filesPerPage = 500;

export const fileUri = (handle: string, path: string) =>
  `python://session/${handle}/files/${encodeURIComponent(path)}`;

/** What a limit is called, and how it is told. */
export const violationText = ({ limit, most, policy, seen }: Violation) => {
  const done = { hard: 'it was ended', soft: 'it was interrupted', warn: 'it went on' }[policy];
  return `${limit}: ${round(seen)} of ${most}; ${done}`;
};

const round = (number: number) => Math.round(number * 100) / 100;

function takeImage(images: Buffer[], data: Buffer): void {
  const isPng = data.subarray(1, 4).toString('latin1') === 'PNG';
  if (isPng && data.length <= maxImageBytes && images.length < maxImages) images.push(Buffer.from(data));
}

interface Kept {
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Sent, but not stored: what was stored before is still there. */
  readonly unkept: readonly string[];
  /** Why nothing was. */
  readonly why: string | undefined;
}

const nothingKept: Kept = { changed: [], removed: [], unkept: [], why: undefined };

/** What the program says of its files is checked like everything else that it says. A file is stored whole, or not at all. */
function takeFiles(intake: Intake, mostBytes: number) {
  const changed: string[] = [];
  const removed: string[] = [];
  const unkept: string[] = [];
  let bytes = 0;
  /** The one that is coming in. */
  let current: string | undefined;
  const leave = () => {
    if (current === undefined) return;
    intake.leave();
    unkept.push(current);
    current = undefined;
  };
  return {
    take({ head, data }: Message) {
      if (head['is'] === 'file') {
        leave();
        const { path } = head;
        if (typeof path !== 'string' || unkept.length > maxFilesPerSession) return;
        if (isFilePath(path) && changed.length <= maxFilesPerSession) intake.file((current = path));
        else unkept.push(path.slice(0, maxPathLength).toWellFormed());
      } else if (head['is'] === 'part' && current !== undefined) {
        bytes += data.length;
        if (bytes > mostBytes) leave();
        else intake.part(data);
      } else if (head['is'] === 'whole' && current !== undefined) {
        changed.push(current);
        current = undefined;
      } else if (head['is'] === 'gone') {
        for (const path of namesIn(head['paths']).slice(0, maxFilesPerSession)) {
          removed.push(path);
          intake.gone(path);
        }
      }
    },
    keep(call: Call): Kept {
      leave();
      if (changed.length === 0 && removed.length === 0) return { ...nothingKept, unkept };
      try {
        intake.keep(call);
        return { changed, removed, unkept, why: undefined };
      } catch (error) {
        if (error instanceof ToolError && error.code === 'too_large') {
          return { ...nothingKept, unkept, why: error.message };
        }
        throw error;
      }
    },
    drop: () => intake.drop(),
  };
}

const namesIn = (value: unknown): string[] =>
  Array.isArray(value)
    ? value.filter((one): one is string => typeof one === 'string' && one.isWellFormed())
    : [];

interface Slice {
  readonly start: number;
  readonly limit: number;
}

interface Rows {
  readonly rows: readonly unknown[];
  readonly total: number;
}

function rowsOf({ head }: Answer): Rows {
  const rows = head?.['rows'];
  const total = head?.['total'];
  if (Array.isArray(rows) && Number.isSafeInteger(total))
    return { rows: rows as unknown[], total: Number(total) };
  const said = typeof head?.['error'] === 'string' ? head['error'].trim().split('\n').at(-1) : undefined;
  throw new ToolError('conflict', `The interpreter did not answer: ${said ?? 'it has ended'}.`, {
    hint: 'reset_python_session starts a new one.',
  });
}
