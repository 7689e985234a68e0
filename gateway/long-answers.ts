/**
 * Answers that are longer than a client takes: they are kept in the context service, as an output of the caller's own, and
 * the client is told how they begin and how to read on. Where that cannot be, an answer is handed on whole: nothing of it is lost.
 */
import { setImmediate } from 'node:timers/promises';

import { z } from 'zod';

import { askedIn, isChosen } from '#runtime/access/choice.ts';
import { resultTokens } from '#runtime/access/tokens.ts';
import type { Exchange } from '#runtime/account/calls.ts';
import type { Log } from '#runtime/account/log.ts';
import { metaOf } from '#runtime/account/meta.ts';
import { cutAt, pageBytes } from '#runtime/page.ts';
import { tokensIn } from '#runtime/tokens-in.ts';

import { askTool } from './asking.ts';
import {
  beginningOf,
  blocksOf,
  isObject,
  mostCharsPerToken,
  shortened,
  textIn,
  type Json,
} from './beginning.ts';
import { fitsSchema } from './foreign/arguments.ts';
import type { Fitting } from './hold.ts';
import { mayCall } from './refusals.ts';
import type { Route } from './routes.ts';
import { callToolName } from './search.ts';
import { choosable, type Behind } from './surface.ts';
import { Upstream } from './upstream.ts';

const queryName = 'result_tokens';

/** No text has more: what takes the most are rare characters and pictures of one. */
const mostTokensPerByte = 0.75;
/** The estimate errs by as much, upwards and downwards. */
const mayBeMore = 1.5;
const mayBeLess = 0.5;
/** The part of what the client takes that the beginning of a text may have, and as much again that of its data. */
const shownPart = 0.2;
/** What one output takes. */
const mostKeptChars = 1_000_000;
const keptSeconds = 24 * 60 * 60;
/** An answer that is there already waits so long. */
const keepMs = 10_000;

const storedSchema = z.looseObject({ handle: z.string(), tokens: z.int(), expires_at: z.string() });
const countedSchema = z.looseObject({ tokens: z.int() });

/** A text that is kept, in parts. */
interface Kept {
  readonly handles: readonly string[];
  readonly tokens: number;
  readonly until: string;
}

/** Whose answer it is. */
export interface Answered {
  readonly exchange: Pick<Exchange, 'caller' | 'query'>;
  readonly tool: string;
  /** Of its data, as the client was told. */
  outputSchema(): unknown;
}

/** The tools that keep and read, as this caller calls them. */
interface Reader {
  readonly context: Upstream;
  call(tool: string, args: object): string;
}

export class LongAnswers {
  readonly #usual: number;
  readonly #routeOf: (tool: string) => Route<Behind> | undefined;
  readonly #log: Log;
  readonly counts = { kept: 0, whole: 0 };

  /** @param usual tokens that a client takes, 0 for any number. */
  constructor(usual: number, routeOf: (tool: string) => Route<Behind> | undefined, log: Log) {
    this.#usual = usual;
    this.#routeOf = routeOf;
    this.#log = log;
  }

  /** What is done with an answer to this caller; `undefined` where it takes any. */
  fitting(answered: Answered): Fitting | undefined {
    const tokens = this.#tokensOf(answered.exchange);
    // What context answers says itself how to read on.
    if (tokens === 0 || this.#routeOf(answered.tool)?.behind.name === 'context') return undefined;
    return {
      // Half of it is text, and half of it the same as data.
      freeBytes: (2 * tokens) / mostTokensPerByte,
      fit: async (result) => this.#fit(result, tokens, answered),
      gaveUp: () => void (this.counts.whole += 1),
    };
  }

  #tokensOf({ query, caller }: Answered['exchange']): number {
    const asked = query.includes(queryName) ? new URLSearchParams(query).get(queryName) : null;
    if (asked === null || !/^\d{1,7}$/.test(asked)) return caller.resultTokens ?? this.#usual;
    const tokens = Number(asked);
    return tokens === 0 ? 0 : Math.min(Math.max(tokens, resultTokens.least), resultTokens.most);
  }

  async #fit(result: Json, tokens: number, answered: Answered): Promise<Json | undefined> {
    try {
      const blocks = blocksOf(result);
      const text = textIn(blocks);
      const data =
        result['structuredContent'] === undefined ? '' : JSON.stringify(result['structuredContent']);
      if (isShort(text, tokens) && isShort(data, tokens)) return undefined;
      // Each step with a long answer takes some milliseconds.
      await setImmediate();
      const reader = this.#reader(answered.exchange);
      if (!reader) {
        if ([text, data].some((one) => estimated(one, tokens) > tokens)) this.counts.whole += 1;
        return undefined;
      }
      const isOver = async (one: string) =>
        !isShort(one, tokens) && (await this.#isOver(one, tokens, answered, reader));
      const [isTextOver, isDataOver] = [await isOver(text), await isOver(data)];
      if (!isTextOver && !isDataOver) return undefined;
      const over = { tokens, text: isTextOver ? text : undefined, data: isDataOver ? data : undefined };
      const told = await this.#begun(result, over, answered, reader);
      this.counts[told ? 'kept' : 'whole'] += 1;
      return told;
    } catch (error) {
      // It is an answer all the same.
      this.counts.whole += 1;
      this.#log.warn('answer_not_kept', { tool: answered.tool, reason: String(error) });
      return undefined;
    }
  }

  /** How it begins, and how to read on; `undefined` where its data cannot be shortened. */
  async #begun(
    result: Json,
    over: {
      readonly tokens: number;
      /** As far as it is too long. */
      readonly text: string | undefined;
      readonly data: string | undefined;
    },
    answered: Answered,
    reader: Reader,
  ): Promise<Json | undefined> {
    const { content: _content, structuredContent, _meta: meta, ...rest } = result;
    const shownTokens = over.tokens * shownPart;
    const blocks = blocksOf(result);
    const schema = over.data !== undefined ? answered.outputSchema() : undefined;
    const fits = (one: Json) => fitsSchema(schema, one);
    // Nothing is kept of what could not be told anyway.
    const data = isObject(structuredContent) ? structuredContent : undefined;
    if (over.data !== undefined && !(data && shortened(data, shownTokens, '', fits))) return undefined;

    const isSame =
      over.text !== undefined &&
      (over.text === over.data ||
        (over.text.startsWith('{\n') && over.text === JSON.stringify(data, null, 2)));
    await setImmediate();
    const limit = Math.min(pageBytes, over.tokens * 3);
    const read = ([handle = '', ...further]: readonly string[], startLine: number) =>
      [{ handle, startLine }, ...further.map((other) => ({ handle: other }))]
        .map((args) => reader.call('read_output', { ...args, ...(limit < pageBytes && { limit }) }))
        .join(', then ');
    const notes: string[] = [];
    const handles: string[] = [];
    let told: readonly Json[] = blocks;
    let toldData: Json | undefined;
    if (over.text !== undefined) {
      const kept = await this.#keep(over.text, answered, reader);
      const begun = beginningOf(blocks, shownTokens);
      told = begun.blocks;
      handles.push(...kept.handles);
      notes.push(
        `This is how the answer begins. All of it is ${over.text.length} characters, ${kept.tokens} tokens, kept until ${kept.until}. Read on with ${read(kept.handles, begun.nextLine)}. Find lines with ${reader.call('grep_output', { handle: kept.handles[0], pattern: '…' })}.`,
      );
    }
    if (over.data !== undefined && data) {
      const kept = isSame ? undefined : await this.#keep(JSON.stringify(data, null, 1), answered, reader);
      handles.push(...(kept?.handles ?? []));
      const how = read(kept?.handles ?? handles, 1);
      toldData = shortened(data, shownTokens, `Texts and lists are cut. All of it as JSON: ${how}`, fits);
      notes.push(
        `Its structuredContent has only the beginnings of texts and lists; all of it as JSON: ${how}.`,
      );
    }
    return {
      ...rest,
      content: [...told, { type: 'text', text: `[${notes.join(' ')}]` }],
      ...(structuredContent !== undefined && { structuredContent: toldData ?? structuredContent }),
      _meta: { ...(meta as Json | undefined), ...metaOf({ kept: handles }) },
    };
  }

  async #isOver(text: string, tokens: number, answered: Answered, reader: Reader): Promise<boolean> {
    const about = estimated(text, tokens);
    if (about * mayBeMore <= tokens) return false;
    if (about * mayBeLess > tokens) return true;
    const counted = countedSchema.parse(
      await this.#ask('count_tokens', { text: storable(text) }, answered, reader),
    );
    return counted.tokens > tokens;
  }

  async #keep(text: string, answered: Answered, reader: Reader): Promise<Kept> {
    const handles: string[] = [];
    let [tokens, until] = [0, ''];
    for (const [number, part] of partsOf(storable(text)).entries()) {
      const label = `${answered.tool}${number === 0 ? '' : `, part ${number + 1}`}`;
      const args = { content: part, label, private: true, ttl_seconds: keptSeconds };
      // oxlint-disable-next-line no-await-in-loop -- in order
      const stored = storedSchema.parse(await this.#ask('store_output', args, answered, reader));
      handles.push(stored.handle);
      tokens += stored.tokens;
      until = `${stored.expires_at.slice(0, 16)}Z`;
    }
    return { handles, tokens, until };
  }

  async #ask(tool: string, args: Json, { exchange }: Answered, { context }: Reader): Promise<unknown> {
    const authorization = () => context.authorization(exchange.caller.hash);
    return askTool(context, authorization, tool, args, AbortSignal.timeout(keepMs));
  }

  /** `undefined` where the caller may not keep anything, or its client would not be able to read on. */
  #reader({ caller, query }: Answered['exchange']): Reader | undefined {
    const asked = askedIn(query, caller);
    const route = this.#routeOf('read_output');
    const context = route?.behind;
    if (!(context instanceof Upstream) || !context.isUpNow) return undefined;
    const isUsable = (tool: string) => {
      const own = this.#routeOf(tool);
      return own?.behind === context && mayCall(own, caller, tool);
    };
    if (!['store_output', 'read_output', 'count_tokens'].every(isUsable)) return undefined;
    if (!asked || isChosen(asked, choosable(context, 'read_output')))
      return { context, call: (tool, args) => `${tool} ${JSON.stringify(args)}` };
    if (!asked.has('search')) return undefined;
    return { context, call: (name, args) => `${callToolName} ${JSON.stringify({ name, arguments: args })}` };
  }
}

const isShort = (text: string, tokens: number) => Buffer.byteLength(text) * mostTokensPerByte <= tokens;

/** Only as far as it matters: a very long text is above any limit. */
const estimated = (text: string, tokens: number) =>
  text.length > tokens * mostCharsPerToken ? Infinity : tokensIn(text);

/** What context takes has no NUL and no half of a pair; models see the sign for it. */
const storable = (text: string) => text.toWellFormed().replaceAll('\0', '\u2400');

function partsOf(text: string): string[] {
  const parts: string[] = [];
  for (let start = 0; start < text.length;) {
    let end = cutAt(text, start + mostKeptChars);
    const line = text.lastIndexOf('\n', end - 1) + 1;
    if (end < text.length && line > start) end = line;
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}
