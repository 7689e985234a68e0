/** Transactions by handle. Each has an engine of its own, belongs to one token, and ends by itself. */
import { randomBytes } from 'node:crypto';

import { ToolError } from '#runtime/errors.ts';
import { Lane } from '#runtime/lanes.ts';
import type { Call } from '#runtime/tool.ts';

import type { Named } from './engine/connections.ts';
import type { Answer, Kind } from './engine/work.ts';
import type { Engine, Engines, Errand } from './engines.ts';
import { endingMs, maxEndedTransactions, transactionLifeMs, transactionsAtOnce } from './limits.ts';

interface Transaction {
  readonly id: string;
  readonly owner: string;
  readonly target: Named;
  readonly engine: Engine;
  /** Its statements, one after the other. */
  readonly lane: Lane;
  readonly beganAtMs: number;
  life: NodeJS.Timeout | undefined;
  idle: NodeJS.Timeout | undefined;
  idleMs: number;
  isPressed: boolean;
  /** Ends its turn among those who change the database, from its first change on. */
  endTurn: (() => void) | undefined;
  /** Statements that run or wait. */
  asked: number;
  /** Its commit or rollback runs. */
  isEnding: boolean;
}

const stoppedStatement = 'one of its statements was stopped, and it was rolled back';
const stoppedEnd = 'its end was stopped: look whether its changes are there';

const isOver = (why: string) =>
  new ToolError('conflict', `The transaction is over: ${why}.`, {
    hint: 'Begin another, and do its work again.',
  });

const oneByOne = { perCaller: 1, inAll: 1, waiting: 32 };

/** Milliseconds that a transaction may last, and be idle, once another token waits to change its database. */
export interface Pressed {
  readonly lifeMs: number;
  readonly idleMs: number;
}

export function openTransactions(engines: Engines, idleMs: number, pressed: Pressed) {
  const open = new Map<string, Transaction>();
  /** Why those that are over ended by themselves. */
  const ended = new Map<string, { readonly owner: string; readonly why: string }>();
  let beginning = 0;
  const beginningBy = new Map<string, number>();

  function find({ caller }: Call, id: string): Transaction {
    const found = open.get(id);
    if (found?.owner === caller) return found;
    const over = ended.get(id);
    if (over?.owner === caller) {
      throw isOver(over.why);
    }
    throw new ToolError('not_found', 'There is no such transaction, or another token began it.', {
      hint: 'begin_transaction begins one. A handle ends with commit, rollback, or a restart of the service.',
    });
  }

  /** @returns whether it was open. */
  function forget(transaction: Transaction): boolean {
    clearTimeout(transaction.idle);
    clearTimeout(transaction.life);
    return open.delete(transaction.id);
  }

  async function close(transaction: Transaction, why: string): Promise<void> {
    if (!forget(transaction)) return;
    ended.set(transaction.id, { owner: transaction.owner, why });
    const [oldest] = ended.keys();
    if (ended.size > maxEndedTransactions && oldest !== undefined) ended.delete(oldest);
    const wasGone = transaction.engine.isGone;
    try {
      await engines.release(transaction.engine);
      if (wasGone) await engines.recover(transaction.target.path, transaction.owner);
    } finally {
      transaction.endTurn?.();
    }
  }

  function limitLife(transaction: Transaction, lifeMs: number, why: string): void {
    clearTimeout(transaction.life);
    transaction.life = setTimeout(() => {
      // What is being committed may be there already. It has a time limit of its own, and says what came of it.
      if (transaction.isEnding) {
        limitLife(transaction, endingMs, why);
        return;
      }
      transaction.engine.kill(isOver(why));
      void close(transaction, why);
    }, lifeMs).unref();
  }

  /** Another token waits for it. */
  function press(transaction: Transaction): void {
    if (transaction.isPressed || !open.has(transaction.id)) return;
    transaction.isPressed = true;
    transaction.idleMs = Math.min(idleMs, pressed.idleMs);
    const leftMs = transactionLifeMs - (performance.now() - transaction.beganAtMs);
    const lifeMs = Math.min(pressed.lifeMs, leftMs);
    limitLife(
      transaction,
      lifeMs,
      `it kept others waiting for ${Math.round(lifeMs / 100) / 10} s and was rolled back`,
    );
    if (transaction.asked === 0) restart(transaction);
  }

  /** Its turn to change the database, which it has until it ends. */
  async function takeTurn(call: Call, transaction: Transaction): Promise<void> {
    if (transaction.endTurn) return;
    const endTurn = await engines.writers.hold(transaction.target.path, call, () => press(transaction));
    if (open.has(transaction.id)) transaction.endTurn = endTurn;
    else endTurn();
  }

  function restart(transaction: Transaction): void {
    clearTimeout(transaction.idle);
    const why = `it was idle for ${transaction.idleMs / 1_000} s and was rolled back`;
    transaction.idle = setTimeout(() => void close(transaction, why), transaction.idleMs).unref();
  }

  function requireRoom({ caller }: Call): void {
    const own =
      [...open.values()].filter(({ owner }) => owner === caller).length + (beginningBy.get(caller) ?? 0);
    if (own >= transactionsAtOnce.perCaller) {
      throw new ToolError(
        'too_large',
        `A token has at most ${transactionsAtOnce.perCaller} transactions open.`,
        {
          hint: 'Commit or roll back one of them.',
        },
      );
    }
    if (open.size + beginning >= transactionsAtOnce.inAll) {
      throw new ToolError('unavailable', `${transactionsAtOnce.inAll} transactions are open already.`, {
        hint: 'Try again: each of them ends by itself. execute_batch needs none.',
        retryAfterMs: 5_000,
      });
    }
  }

  async function run<K extends Kind>(
    call: Call,
    id: string,
    errand: Errand<K>,
    changes: boolean,
  ): Promise<Answer<K>> {
    const transaction = find(call, id);
    transaction.asked += 1;
    clearTimeout(transaction.idle);
    try {
      return await transaction.lane.run<Answer<K>>(call, async () => {
        if (changes) await takeTurn(call, transaction);
        return engines.inPlace<Answer<K>>(call, async () => {
          // It may have ended while this waited.
          find(call, id);
          transaction.isEnding = errand.kind === 'end';
          const answer = await transaction.engine.run(errand, call).finally(() => {
            transaction.isEnding = false;
          });
          // Before the next one comes: its engine is another's from now on.
          if (errand.kind === 'end' && forget(transaction)) {
            engines.giveBack(transaction.engine);
            transaction.endTurn?.();
          }
          return answer;
        });
      });
    } finally {
      transaction.asked -= 1;
      if (open.has(id)) {
        const { isGone, inTransaction } = transaction.engine;
        if (isGone) await close(transaction, errand.kind === 'end' ? stoppedEnd : stoppedStatement);
        else if (!inTransaction)
          await close(transaction, 'a statement failed so that SQLite rolled all of it back');
        else if (transaction.asked === 0) restart(transaction);
      }
    }
  }

  return {
    /** The database that a transaction is for. */
    targetOf: (call: Call, id: string): Named => find(call, id).target,
    run,
    async begin(call: Call, target: Named, isImmediate: boolean, timeoutMs: number) {
      requireRoom(call);
      beginning += 1;
      beginningBy.set(call.caller, (beginningBy.get(call.caller) ?? 0) + 1);
      let endTurn: (() => void) | undefined;
      let begun: Transaction | undefined;
      let engine: Engine | undefined;
      try {
        let isWaitedFor = false;
        if (isImmediate) {
          endTurn = await engines.writers.hold(target.path, call, () => {
            if (begun) press(begun);
            else isWaitedFor = true;
          });
        }
        engine = engines.take(call.caller);
        await engine.run({ kind: 'begin', args: { target, isImmediate }, timeoutMs }, call);
        const id = `tx_${randomBytes(12).toString('base64url')}`;
        const transaction: Transaction = {
          id,
          owner: call.caller,
          target,
          engine,
          lane: new Lane(oneByOne),
          beganAtMs: performance.now(),
          life: undefined,
          idle: undefined,
          idleMs,
          isPressed: false,
          endTurn,
          asked: 0,
          isEnding: false,
        };
        begun = transaction;
        open.set(id, transaction);
        const why = `it lasted ${transactionLifeMs / 1_000} s and was rolled back`;
        limitLife(transaction, transactionLifeMs, why);
        restart(transaction);
        if (isWaitedFor) press(transaction);
        return { id, expiresAtMs: call.nowMs + transactionLifeMs };
      } catch (error) {
        if (engine) engines.giveBack(engine);
        endTurn?.();
        throw error;
      } finally {
        beginning -= 1;
        const left = (beginningBy.get(call.caller) ?? 1) - 1;
        if (left > 0) beginningBy.set(call.caller, left);
        else beginningBy.delete(call.caller);
      }
    },
    async end(call: Call, id: string, commits: boolean, timeoutMs: number): Promise<void> {
      await run(call, id, { kind: 'end', args: { commits }, timeoutMs }, false);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(
        [...open.values()].map(async (transaction) => close(transaction, 'the service stopped')),
      );
    },
  };
}
