/** A conversation in figures: computed, and nothing made up. */
import type { Directory } from './directory.ts';
import { isoOf } from './fields.ts';
import type { Stored } from './message.ts';
import { typeOf } from './types.ts';

/** Types that have been forgotten since expect nothing. */
function expectsAnswer(directory: Directory, type: string, nowMs: number): boolean {
  try {
    return typeOf(directory, type, nowMs).expectsAnswer;
  } catch {
    return false;
  }
}

export function summaryOf(messages: readonly Stored[], directory: Directory, nowMs: number) {
  const sent = new Map<string, number>();
  const types: Record<string, number> = {};
  const unanswered = new Set<string>();
  for (const { envelope } of messages) {
    const { source, type, id, replyTo } = envelope;
    sent.set(source, (sent.get(source) ?? 0) + 1);
    types[type] = (types[type] ?? 0) + 1;
    if (replyTo !== undefined) unanswered.delete(replyTo);
    if (expectsAnswer(directory, type, nowMs)) unanswered.add(id);
  }
  const began = messages[0]?.envelope.timeMs;
  const ended = messages.at(-1)?.envelope.timeMs;
  return {
    messages: messages.length,
    participants: [...sent]
      .map(([agent, count]) => ({ agent, sent: count }))
      .toSorted((one, other) => other.sent - one.sent),
    types,
    ...(began !== undefined && ended !== undefined && { began_at: isoOf(began), ended_at: isoOf(ended) }),
    seconds: began === undefined || ended === undefined ? 0 : (ended - began) / 1_000,
    unanswered: [...unanswered].slice(0, mostUnanswered),
  };
}

const mostUnanswered = 100;
