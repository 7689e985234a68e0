/** The tokens of a vocabulary and their ranks, found by their bytes. A table of our own: a map of texts takes five times the room, and as long again to make the texts. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { inTurns, type Steps } from '#runtime/turns.ts';

export interface Vocabulary {
  /** The rank of the token with the bytes from `from` up to `to`; `noRank` when there is none. */
  readonly rankOf: (bytes: Uint8Array, from: number, to: number) => number;
}

export const noRank = -1;
/** In bytes; the longest of all vocabularies has 128. */
export const longestToken = 128;

export type VocabularyName = 'o200k_base' | 'cl100k_base' | 'p50k_base' | 'r50k_base';

export async function loadVocabulary(name: VocabularyName): Promise<Vocabulary> {
  const file = await readFile(fileURLToPath(import.meta.resolve(`gpt-tokenizer/data/${name}.tiktoken`)));
  // Others may wait for the same load, so the end of one call does not stop it.
  const call = { signal: new AbortController().signal, caller: '', operation: 'load_vocabulary' };
  return inTurns((read) => read(), call, parsed(file));
}

const linesPerTurn = 1_000;
/** A line has four characters of base64, a blank, a digit and its end at least. */
const shortestLine = 7;

/** Of lines with the bytes in base64 and the rank. */
function* parsed(file: Buffer): Steps<Vocabulary> {
  const most = Math.ceil(file.length / shortestLine);
  const bytes = new Uint8Array(file.length);
  const ends = new Uint32Array(most + 1);
  const ranks = new Int32Array(most + 1);
  // A power of two, at least twice as many as there are tokens. A slot holds the number of its token, from 1.
  const slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * most)));
  const last = slots.length - 1;
  // Every merge begins with pairs of bytes, so their ranks stand in a table of their own.
  const pairs = new Int32Array(2 ** 16).fill(noRank);

  function slotOf(given: Uint8Array, from: number, to: number): number {
    for (let slot = hashOf(given, from, to) & last; ; slot = (slot + 1) & last) {
      const token = slots[slot] as number;
      if (token === 0 || isToken(token, given, from, to)) return slot;
    }
  }

  function isToken(token: number, given: Uint8Array, from: number, to: number): boolean {
    let at = ends[token - 1] as number;
    if ((ends[token] as number) - at !== to - from) return false;
    for (let each = from; each < to; each += 1, at += 1) if (given[each] !== bytes[at]) return false;
    return true;
  }

  let end = 0;
  for (let at = 0, token = 1; at < file.length; token += 1) {
    const blank = file.indexOf(0x20, at);
    const lineEnd = file.indexOf(0x0a, blank);
    const stop = lineEnd < 0 ? file.length : lineEnd;
    const start = end;
    end += decode(file, at, blank, bytes, end);
    slots[slotOf(bytes, start, end)] = token;
    ends[token] = end;
    ranks[token] = numberIn(file, blank + 1, stop);
    if (end - start === 2) pairs[pairAt(bytes, start)] = ranks[token] as number;
    at = stop + 1;
    if (token % linesPerTurn === 0) yield;
  }
  return {
    rankOf(given, from, to) {
      if (to - from === 2) return pairs[pairAt(given, from)] as number;
      if (to - from > longestToken) return noRank;
      const token = slots[slotOf(given, from, to)] as number;
      return token === 0 ? noRank : (ranks[token] as number);
    },
  };
}

const pairAt = (bytes: Uint8Array, at: number) => ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

/** FNV-1a. */
function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x81_1c_9d_c5;
  for (let at = from; at < to; at += 1) hash = Math.imul(hash ^ (bytes[at] as number), 0x01_00_01_93);
  // The low bits, by which a slot is chosen, depend on few of the last bytes' high ones.
  return hash ^ (hash >>> 15);
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const digits = new Uint8Array(256);
for (let value = 0; value < alphabet.length; value += 1) digits[alphabet.charCodeAt(value)] = value;
const padding = 0x3d;

/** @returns how many bytes were written. */
function decode(file: Uint8Array, from: number, to: number, bytes: Uint8Array, start: number): number {
  let end = start;
  for (let at = from; at < to; at += 4) {
    let word = 0;
    for (let each = at; each < at + 4; each += 1)
      word = (word << 6) | (digits[file[each] as number] as number);
    bytes[end++] = word >> 16;
    if (file[at + 2] !== padding) bytes[end++] = word >> 8;
    if (file[at + 3] !== padding) bytes[end++] = word;
  }
  return end - start;
}

function numberIn(file: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at += 1) value = 10 * value + (file[at] as number) - 0x30;
  return value;
}
