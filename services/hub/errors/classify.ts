/** What kind of failure it is, from what is known of it. Pure; the rules are data (`rules.ts`). */
import { getSystemErrorMap } from 'node:util';

import { rules, unknownRule, type Rule } from './rules.ts';

/** A failure as data: what programs say of one, in their own words. */
export interface Facts {
  /** Of Node, of an SQL engine, AMQP, gRPC, JSON-RPC or a tool of the fleet. */
  readonly code?: string | number | undefined;
  readonly message?: string | undefined;
  readonly http_status?: number | undefined;
  /** Of the error, such as `AbortError`. */
  readonly name?: string | undefined;
  readonly errno?: string | number | undefined;
}

/** What is told first counts most; a rule that says little counts only where nothing says more. */
export function classify(facts: Facts): Rule {
  let vague: Rule | undefined;
  for (const sign of signsOf(facts)) {
    const rule = ruleOf(sign);
    if (rule && !rule.isVague) return rule;
    vague ??= rule;
  }
  const message = facts.message?.slice(0, readLength) ?? '';
  return rules.find(({ words }) => words?.test(message)) ?? vague ?? unknownRule;
}

/** Of a message; its beginning tells what it is about. */
const readLength = 2_000;
const mostWords = 50;

const bySign = new Map(rules.flatMap((rule) => rule.signs.map((sign) => [sign, rule] as const)));

/** A sign, or the nearest family of it that is known. */
function ruleOf(sign: string): Rule | undefined {
  for (let known = sign; known !== ''; known = widened(known)) {
    const rule = bySign.get(known);
    if (rule) return rule;
  }
  return undefined;
}

/** `SQLITE_IOERR_WRITE` is a `SQLITE_IOERR`, `http 418` an `http 4xx`, `sql 40P01` of the states `sql 40P` and `sql 40`. */
function widened(sign: string): string {
  const [kind, number = ''] = sign.split(' ');
  if (number === '') return sign.slice(0, Math.max(0, sign.lastIndexOf('_')));
  if (kind === 'http') return number.endsWith('xx') ? '' : `http ${number[0]}xx`;
  if (kind === 'sql')
    return number.length > 3
      ? `sql ${number.slice(0, 3)}`
      : number.length > 2
        ? `sql ${number.slice(0, 2)}`
        : '';
  if (kind === 'rpc') return isServerError(Number(number)) ? 'rpc server' : '';
  return '';
}

const isServerError = (code: number) => code <= -32_000 && code >= -32_099;

function* signsOf(facts: Facts): Generator<string> {
  const { code, http_status: status, name, errno, message } = facts;
  if (code !== undefined) yield* signsOfCode(code, facts);
  if (errno !== undefined) yield* typeof errno === 'number' ? signsOfErrno(errno) : signsOfCode(errno, facts);
  if (status !== undefined) yield `http ${status}`;
  if (name !== undefined) yield folded(name);
  if (message !== undefined) yield* signsIn(message.slice(0, readLength));
}

const folded = (code: string) =>
  code
    .slice(0, 100)
    .toUpperCase()
    .replaceAll(/[-\s.]+/g, '_');

function* signsOfCode(code: string | number, facts: Facts): Generator<string> {
  const text = String(code).trim();
  if (sqlState.test(text)) yield `sql ${text}`;
  else if (/^-?\d{1,6}$/.test(text)) yield* signsOfNumber(Number(text), facts);
  else yield folded(text);
}

/** Five digits or capitals; words such as `EPERM` are none. */
const sqlState = /^(?:\d[\dA-Z]{4}|(?:XX|P0|HV|F0)[\dA-Z]{3})$/;

function* signsOfNumber(code: number, { name = '', message = '' }: Facts): Generator<string> {
  if (code <= -32_000) yield `rpc ${code}`;
  else if (code < 0) yield* signsOfErrno(code);
  // AMQP numbers its errors as HTTP does, and means others.
  else if (ofAmqp.test(name) || ofAmqp.test(message.slice(0, readLength))) yield `amqp ${code}`;
  else if (code >= 100 && code < 600) yield `http ${code}`;
}

const ofAmqp = /amqp|channel closed|vhost|\bexchange\b/i;

/** Made anew each time it is asked for. */
const systemErrors = getSystemErrorMap();

function* signsOfErrno(errno: number): Generator<string> {
  const named = systemErrors.get(-Math.abs(errno))?.[0];
  if (named !== undefined) yield named;
}

/** Messages name codes: `connect ECONNREFUSED 127.0.0.1:6379`, `NOAUTH Authentication required`, `HTTP 503`. */
function* signsIn(message: string): Generator<string> {
  const state = /\bSQLSTATE\W{0,3}([\dA-Z]{5})\b/.exec(message)?.[1];
  if (state !== undefined) yield `sql ${state}`;
  let words = 0;
  for (const [word] of message.matchAll(/\b[A-Z][A-Z\d_]{2,40}\b/g)) {
    if (++words > mostWords) break;
    yield word;
  }
  const named = /\b([A-Z][a-z]{2,20}Error)\b/.exec(message)?.[1];
  if (named !== undefined) yield folded(named);
  const status = /\b(?:HTTP|status)(?: ?code)?(?:\/\d(?:\.\d)?)?[ :=]{1,3}([1-5]\d\d)\b/i.exec(message)?.[1];
  if (status !== undefined) yield `http ${status}`;
}
