/**
 * Messages as providers give them, with what a model thought: Anthropic's content blocks, OpenAI's output items, Gemini's parts.
 * Signatures and encrypted parts are kept as they came; nobody here can read them.
 */
import { maxNameLength, maxOpaqueBytes } from '../limits.ts';
import { attrsIn } from '../steps/check.ts';
import { detailText, provNumber, typeNumber, type NewStep, type Opaque } from '../steps/step.ts';

type Given = Readonly<Record<string, unknown>>;

export interface Said {
  readonly model?: string | undefined;
  readonly provider?: string | undefined;
  readonly steps: readonly Omit<NewStep, 'chain'>[];
}

const isObject = (value: unknown): value is Given =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const nameOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, maxNameLength).toWellFormed() : undefined;

/** A text that its provider alone understands. */
const opaque = (kind: string, value: unknown): readonly Opaque[] =>
  typeof value === 'string' ? [{ kind, isText: true, data: requireWhole(value) }] : [];

/** What cannot be kept byte for byte. */
export class MessageError extends Error {
  override readonly name = 'MessageError';
}

function requireWhole(text: string): Uint8Array {
  const data = Buffer.from(text);
  if (data.length > maxOpaqueBytes)
    throw new MessageError(`A signature or an encrypted part has more than ${maxOpaqueBytes} bytes.`);
  if (text.isWellFormed()) return data;
  throw new MessageError(
    'A signature or an encrypted part has half a character: it cannot be kept byte for byte.',
  );
}

type Step = Omit<NewStep, 'chain'>;

function step(
  content: string,
  prov: 'provider_thinking' | 'provider_summary' | 'self_report' | 'tool_event' | 'redacted',
  parts: readonly Opaque[] = [],
  attrs: Given = {},
  subtype?: string,
): Step {
  const told = attrsIn(attrs);
  return {
    type: typeNumber('analysis'),
    subtype,
    prov: provNumber(prov),
    content,
    detail:
      typeof told === 'string' || Object.keys(told).length === 0 ? undefined : detailText({ attrs: told }),
    opaque: parts.length === 0 ? undefined : parts,
  };
}

/** With what was given to the tool, as far as an attribute may be long. */
const toolCall = (name: unknown, input: unknown, id: unknown, parts: readonly Opaque[] = []): Step =>
  step(
    `${textOf(name) || 'tool'}(${typeof input === 'string' ? input : JSON.stringify(input ?? {})})`,
    'tool_event',
    parts,
    { tool: textOf(name), ...(nameOf(id) !== undefined && { call_id: id }) },
    'action',
  );

/** A part of a message in any of the forms, or `undefined` for what is no reasoning. */
export function stepsOfPart(given: unknown): readonly Step[] {
  if (!isObject(given)) return [];
  const { type } = given;
  switch (type) {
    case 'thinking':
      return [
        step(textOf(given['thinking']), 'provider_thinking', opaque('signature', given['signature']), {
          block: type,
        }),
      ];
    case 'redacted_thinking':
      return [step('', 'redacted', opaque('redacted_thinking', given['data']), { block: type })];
    case 'reasoning':
      return reasoning(given);
    case 'text':
    case 'output_text':
    case 'input_text': {
      const text = textOf(given['text']) || textOf(given['content']);
      return text === '' ? [] : [step(text, 'self_report')];
    }
    case 'tool_use':
    case 'server_tool_use':
      return [toolCall(given['name'], given['input'], given['id'])];
    case 'function_call':
      return [toolCall(given['name'], given['arguments'], given['call_id'])];
    case 'tool_call':
    case 'server_tool_call':
      return [
        toolCall(
          given['name'],
          given['arguments'],
          given['id'],
          opaque('reasoning_signature', given['reasoning_signature']),
        ),
      ];
    case 'message':
      return listOf(given['content']).flatMap(stepsOfPart);
    default:
      return type === undefined ? geminiPart(given) : [];
  }
}

const texts = (list: unknown) => listOf(list).map((one) => (isObject(one) ? textOf(one['text']) : ''));

/** OpenAI's item, and the part of OpenTelemetry and OpenInference of the same name. */
function reasoning(given: Given): readonly Step[] {
  const parts = [
    ...opaque('encrypted_content', given['encrypted_content']),
    ...opaque('signature', given['signature']),
    ...opaque('redacted_thinking', given['data']),
  ];
  const attrs = { block: 'reasoning', ...(nameOf(given['id']) !== undefined && { id: given['id'] }) };
  const thought = typeof given['content'] === 'string' ? [given['content']] : texts(given['content']);
  if (typeof given['text'] === 'string') thought.push(given['text']);
  const summary = texts(given['summary']);
  const said = [
    ...thought.map((text) => [text, 'provider_thinking'] as const),
    ...summary.map((text) => [text, 'provider_summary'] as const),
  ];
  if (said.length === 0)
    return [step('', parts.length === 0 ? 'provider_thinking' : 'redacted', parts, attrs)];
  return said.map(([text, prov], at) => step(text, prov, at === 0 ? parts : [], attrs));
}

function geminiPart(given: Given): readonly Step[] {
  const parts = opaque('thought_signature', given['thoughtSignature'] ?? given['thought_signature']);
  const called = given['functionCall'] ?? given['function_call'];
  if (isObject(called)) return [toolCall(called['name'], called['args'], called['id'], parts)];
  if (typeof given['text'] !== 'string') return parts.length === 0 ? [] : [step('', 'redacted', parts)];
  if (given['text'] === '' && parts.length === 0) return [];
  return [step(given['text'], given['thought'] === true ? 'provider_thinking' : 'self_report', parts)];
}

/** What an assistant said; other roles say what is no reasoning of the model. */
export function stepsOfMessage(given: unknown): readonly Step[] {
  if (!isObject(given)) return [];
  const { role, content } = given;
  if (role !== undefined && role !== 'assistant' && role !== 'model') return [];
  if (typeof content === 'string') return content === '' ? [] : [step(content, 'self_report')];
  const parts = listOf(content).length > 0 ? content : given['parts'];
  const said = listOf(parts).flatMap(stepsOfPart);
  // Items of OpenAI stand side by side with messages, and have a type of their own.
  return role === undefined && given['type'] !== undefined ? stepsOfPart(given) : said;
}

/** @returns `undefined` for what is no message of any of them. @throws MessageError. */
export function saidIn(given: unknown): Said | undefined {
  if (Array.isArray(given)) return withSteps({}, listOf(given).flatMap(stepsOfMessage));
  if (!isObject(given)) return undefined;
  if (Array.isArray(given['candidates'])) {
    const steps = listOf(given['candidates']).flatMap((one) =>
      isObject(one) ? stepsOfMessage(one['content']) : [],
    );
    return withSteps(
      { model: nameOf(given['modelVersion'] ?? given['model_version']), provider: 'google' },
      steps,
    );
  }
  if (Array.isArray(given['output']))
    return withSteps(
      { model: nameOf(given['model']), provider: 'openai' },
      given['output'].flatMap(stepsOfMessage),
    );
  if (Array.isArray(given['messages']))
    return withSteps({ model: nameOf(given['model']) }, given['messages'].flatMap(stepsOfMessage));
  if (Array.isArray(given['content']) || Array.isArray(given['parts'])) {
    const model = nameOf(given['model']);
    const provider = given['type'] === 'message' ? 'anthropic' : undefined;
    return withSteps(
      { model, provider },
      stepsOfMessage(given['type'] === 'message' ? { ...given, role: 'assistant' } : given),
    );
  }
  const alone = stepsOfMessage(given);
  return alone.length === 0 ? undefined : withSteps({}, alone);
}

const withSteps = (facts: Omit<Said, 'steps'>, steps: readonly Step[]): Said => ({ ...facts, steps });
