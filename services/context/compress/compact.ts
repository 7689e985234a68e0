/** Makes a conversation fit into a budget: the oldest parts go first, the least telling before the others. */
import type { Steps } from '#runtime/turns.ts';

import { blocksOf, messageTokens, perConversation, type Block, type Message } from '../tokens/messages.ts';
import type { Tokenizer } from '../tokens/tokenizer.ts';

interface Rules {
  readonly budget: number;
  readonly keepRecent: number;
  readonly keepSystem: boolean;
  readonly pinned: readonly number[];
  readonly excludeTools: readonly string[];
}

type Action = 'thinking_cleared' | 'tool_result_cleared' | 'shortened' | 'dropped';

interface Change {
  readonly index: number;
  readonly action: Action;
}

interface Compacted {
  /** `undefined` when what has to stay takes more than the budget. */
  readonly messages: readonly Message[] | undefined;
  readonly tokens: number;
  readonly changes: readonly Change[];
}

/** A text that is not longer stays whole; a longer one is cut to its beginning. */
const shortTokens = 100;
const beginningTokens = 60;

interface Slot {
  readonly index: number;
  readonly isKept: boolean;
  /** Messages that only make sense together: calls of tools and their results. */
  readonly group: number;
  message: Message | undefined;
  tokens: number;
}

export function* compact(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  handle: string,
  rules: Rules,
): Steps<Compacted> {
  const slots = yield* slotsOf(tokenizer, messages, rules);
  const tools = toolNames(messages);
  const changes: Change[] = [];
  let tokens = slots.reduce((sum, slot) => sum + slot.tokens, perConversation);
  if (tokens <= rules.budget) return { messages, tokens, changes };

  const whereToRead = ({ index }: Slot) => `read_output ${handle} line ${index + 1}`;
  const rewrites: readonly (readonly [
    Action,
    (slot: Slot, message: Message) => Steps<Message | undefined>,
  ])[] = [
    ['thinking_cleared', (_slot, message) => withoutThinking(message)],
    [
      'tool_result_cleared',
      (slot, message) =>
        withoutResults(message, `[cleared: ${whereToRead(slot)}]`, tools, rules.excludeTools),
    ],
    ['shortened', (slot, message) => shortened(tokenizer, message, ` [shortened: ${whereToRead(slot)}]`)],
  ];
  for (const [action, rewrite] of rewrites) {
    for (const slot of slots) {
      if (slot.isKept || !slot.message) continue;
      const changed = yield* rewrite(slot, slot.message);
      const after = changed ? yield* messageTokens(tokenizer, changed) : Infinity;
      if (!changed || after >= slot.tokens) continue;
      tokens += after - slot.tokens;
      Object.assign(slot, { message: changed, tokens: after });
      changes.push({ index: slot.index, action });
      if (tokens <= rules.budget) {
        return { messages: left(slots), tokens, changes: lastPerMessage(changes) };
      }
    }
  }

  const droppable = Map.groupBy(
    slots.filter(({ isKept }) => !isKept),
    ({ group }) => group,
  );
  let kept = tokens;
  let dropped = 0;
  for (const group of droppable.values()) {
    for (const slot of group) {
      kept -= slot.tokens;
      slot.message = undefined;
      changes.push({ index: slot.index, action: 'dropped' });
    }
    dropped += group.length;
    const notice = { role: 'user', content: `[${dropped} earlier messages left out: read_output ${handle}]` };
    tokens = kept + (yield* messageTokens(tokenizer, notice));
    if (tokens <= rules.budget) {
      return { messages: left(slots, notice), tokens, changes: lastPerMessage(changes) };
    }
  }
  return { messages: undefined, tokens, changes: [] };
}

/** The messages that are left, with a notice in the place of the first that is not. */
function left(slots: readonly Slot[], notice?: Message): Message[] {
  const first = slots.find(({ message }) => !message);
  return slots.flatMap((slot) => slot.message ?? (slot === first && notice ? [notice] : []));
}

const lastPerMessage = (changes: readonly Change[]) =>
  [...new Map(changes.map((change) => [change.index, change])).values()].toSorted(
    (a, b) => a.index - b.index,
  );

function* slotsOf(tokenizer: Tokenizer, messages: readonly Message[], rules: Rules): Steps<Slot[]> {
  const groups = groupsOf(messages);
  const pinned = new Set(rules.pinned);
  const isKept = (message: Message, index: number) =>
    pinned.has(index) ||
    index >= messages.length - rules.keepRecent ||
    (rules.keepSystem && (message.role === 'system' || message.role === 'developer'));
  const kept = new Set(messages.flatMap((message, index) => (isKept(message, index) ? [groups[index]] : [])));
  const slots: Slot[] = [];
  for (const [index, message] of messages.entries()) {
    const group = groups[index] ?? index;
    const tokens = yield* messageTokens(tokenizer, message);
    slots.push({ index, group, isKept: kept.has(group), message, tokens });
  }
  return slots;
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined);

interface ToolCall {
  readonly id: string;
  readonly name: string;
}

function toolCalls(message: Message): ToolCall[] {
  const given = message['tool_calls'];
  const calls = [
    ...blocksOf(message).filter(({ type }) => type === 'tool_use' || type === 'server_tool_use'),
    ...(Array.isArray(given) ? (given as Record<string, unknown>[]) : []),
  ];
  return calls.flatMap((call) => {
    const id = textOf(call?.['id']);
    const called = call['function'] as { name?: unknown } | undefined;
    return id === undefined ? [] : [{ id, name: textOf(call['name']) ?? textOf(called?.name) ?? '' }];
  });
}

/** The calls that a message answers. */
function answeredIds(message: Message): string[] {
  const ids = [message['tool_call_id'], ...blocksOf(message).map((block) => block['tool_use_id'])];
  return ids.filter((id) => typeof id === 'string');
}

const toolNames = (messages: readonly Message[]) =>
  new Map(messages.flatMap(toolCalls).map(({ id, name }) => [id, name]));

/** For each message the first one that it belongs with. */
function groupsOf(messages: readonly Message[]): number[] {
  const first = messages.map((_, index) => index);
  const callers = new Map(
    messages.flatMap((message, index) => toolCalls(message).map(({ id }) => [id, index] as const)),
  );
  const rootOf = (index: number): number => {
    let at = index;
    // Each look shortens the way for the next ones.
    while (first[at] !== at) at = first[at] = first[first[at] ?? at] ?? at;
    return at;
  };
  for (const [index, message] of messages.entries()) {
    for (const id of answeredIds(message)) {
      const roots = [rootOf(index), rootOf(callers.get(id) ?? index)];
      first[Math.max(...roots)] = Math.min(...roots);
    }
  }
  return messages.map((_, index) => rootOf(index));
}

// oxlint-disable-next-line require-yield -- one of several rewrites, of which others take turns
function* withoutThinking(message: Message): Steps<Message | undefined> {
  const blocks = blocksOf(message);
  const content = blocks.filter(({ type }) => type !== 'thinking' && type !== 'redacted_thinking');
  return content.length < blocks.length && content.length > 0 ? { ...message, content } : undefined;
}

// oxlint-disable-next-line require-yield -- one of several rewrites, of which others take turns
function* withoutResults(
  message: Message,
  placeholder: string,
  tools: ReadonlyMap<string, string>,
  excluded: readonly string[],
): Steps<Message | undefined> {
  const isExcluded = (id: unknown) => excluded.includes(tools.get(String(id)) ?? '');
  if (message.role === 'tool' && !isExcluded(message['tool_call_id']))
    return { ...message, content: placeholder };
  const isCleared = (block: Block) => block.type === 'tool_result' && !isExcluded(block['tool_use_id']);
  if (!blocksOf(message).some(isCleared)) return undefined;
  return {
    ...message,
    content: blocksOf(message).map((block) =>
      isCleared(block) ? { ...block, content: placeholder } : block,
    ),
  };
}

function* shortened(tokenizer: Tokenizer, message: Message, mark: string): Steps<Message | undefined> {
  function* cut(text: string): Steps<string> {
    if ((yield* tokenizer.count(text)) <= shortTokens) return text;
    return text.slice(0, yield* tokenizer.head(text, beginningTokens)) + mark;
  }
  if (message.role === 'tool') return undefined;
  if (typeof message.content === 'string') return { ...message, content: yield* cut(message.content) };
  const content: Block[] = [];
  for (const block of blocksOf(message)) {
    const text = block.type === 'text' ? textOf(block['text']) : undefined;
    content.push(text === undefined ? block : { ...block, text: yield* cut(text) });
  }
  return content.length > 0 ? { ...message, content } : undefined;
}
