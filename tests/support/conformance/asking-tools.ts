/**
 * Tools that ask the user back. They answer `input_required` in both eras: the SDK turns that into requests to the
 * client where the client is of 2025-11-25 or older.
 */
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  inputResponse,
  type ClientCapabilities,
} from '@modelcontextprotocol/server';
import { z } from 'zod';

import { ProtocolResult, type Call } from '#runtime/tool.ts';

import { fixtureTool, protocolOf, requestOf, text } from './fixture.ts';

interface Question {
  readonly method: 'elicitation/create' | 'sampling/createMessage' | 'roots/list';
  readonly params: Readonly<Record<string, unknown>>;
}

type Properties = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** A form; every field must be filled in unless the question says otherwise. */
export function form(
  message: string,
  properties: Properties,
  required: readonly string[] = Object.keys(properties),
): Question {
  const requestedSchema = { type: 'object', properties, ...(required.length > 0 && { required }) };
  return { method: 'elicitation/create', params: { mode: 'form', message, requestedSchema } };
}

function sampling(words: string): Question {
  const messages = [{ role: 'user', content: { type: 'text', text: words } }];
  return { method: 'sampling/createMessage', params: { messages, maxTokens: 100 } };
}

const roots: Question = { method: 'roots/list', params: {} };
const nameForm = form('What is your name?', { name: { type: 'string' } });
const confirmation = form('Please confirm', { ok: { type: 'boolean' } });

export function ask(
  inputRequests: Readonly<Record<string, Question>>,
  requestState?: string,
): ProtocolResult {
  return new ProtocolResult({
    resultType: 'input_required',
    inputRequests,
    ...(requestState !== undefined && { requestState }),
  });
}

/** What the user filled in; `undefined` until there is a usable answer. */
export function filledIn(call: Call, key: string): Readonly<Record<string, unknown>> | undefined {
  return acceptedContent(requestOf(call).inputResponses, key);
}

function isAnswered(call: Call, key: string): boolean {
  return inputResponse(requestOf(call).inputResponses, key).kind !== 'missing';
}

const enumForm = form(
  'Please select options from the enum fields',
  {
    untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    titledSingle: {
      type: 'string',
      oneOf: [
        { const: 'value1', title: 'First Option' },
        { const: 'value2', title: 'Second Option' },
        { const: 'value3', title: 'Third Option' },
      ],
    },
    legacyEnum: {
      type: 'string',
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three'],
    },
    untitledMulti: {
      type: 'array',
      minItems: 1,
      maxItems: 3,
      items: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    },
    titledMulti: {
      type: 'array',
      minItems: 1,
      maxItems: 3,
      items: {
        anyOf: [
          { const: 'value1', title: 'First Choice' },
          { const: 'value2', title: 'Second Choice' },
          { const: 'value3', title: 'Third Choice' },
        ],
      },
    },
  },
  [],
);

const defaultsForm = form(
  'Please review and update the form fields with defaults',
  {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
  [],
);

/** Asks one thing, and is content with any answer. */
function askingTool(name: string, question: Question, key = 'answer') {
  return fixtureTool(name, (call) =>
    isAnswered(call, key)
      ? text(`Answered: ${JSON.stringify(requestOf(call).inputResponses?.[key])}`)
      : ask({ [key]: question }),
  );
}

export const askingTools = [
  fixtureTool(
    'test_sampling',
    (call, { prompt = '' }) =>
      isAnswered(call, 'answer')
        ? text(`LLM response: ${JSON.stringify(requestOf(call).inputResponses?.['answer'])}`)
        : ask({ answer: sampling(prompt) }),
    z.object({ prompt: z.string().describe('What to ask the model.') }),
  ),
  fixtureTool(
    'test_elicitation',
    (call, { message = '' }) =>
      isAnswered(call, 'answer')
        ? text(`User response: ${JSON.stringify(requestOf(call).inputResponses?.['answer'])}`)
        : ask({ answer: form(message, { username: { type: 'string' }, email: { type: 'string' } }) }),
    z.object({ message: z.string().describe('What to show the user.') }),
  ),
  askingTool('test_elicitation_sep1034_defaults', defaultsForm),
  askingTool('test_elicitation_sep1330_enums', enumForm),
  askingTool('test_streaming_elicitation', nameForm),
  askingTool('test_missing_capability', sampling('This client has declared no sampling.')),
  askingTool('test_input_required_result_sampling', sampling('What is the capital of France?')),
  askingTool('test_input_required_result_list_roots', roots),
  fixtureTool('test_input_required_result_elicitation', (call) => {
    const answer = filledIn(call, 'user_name');
    return answer ? text(`Hello, ${String(answer['name'])}!`) : ask({ user_name: nameForm });
  }),
  fixtureTool('test_input_required_result_request_state', async (call) =>
    requestOf(call).requestState() === 'asked' && filledIn(call, 'confirm')
      ? text('state-ok')
      : ask({ confirm: confirmation }, await protocolOf(call).seal('asked')),
  ),
  fixtureTool('test_input_required_result_tampered_state', async (call) =>
    requestOf(call).requestState() === 'asked'
      ? text('The state came back as it was')
      : ask({ confirm: confirmation }, await protocolOf(call).seal('asked')),
  ),
  fixtureTool('test_input_required_result_multiple_inputs', async (call) =>
    ['user_name', 'greeting', 'client_roots'].every((key) => isAnswered(call, key))
      ? text('All of it is answered')
      : ask(
          { user_name: nameForm, greeting: sampling('Generate a greeting'), client_roots: roots },
          await protocolOf(call).seal('asked'),
        ),
  ),
  fixtureTool('test_input_required_result_multi_round', async (call) => {
    const step = requestOf(call).requestState();
    if (step === 'step2') return text('Both steps are answered');
    return step === 'step1'
      ? ask(
          { step2: form('Step 2: What is your favorite color?', { color: { type: 'string' } }) },
          await protocolOf(call).seal('step2'),
        )
      : ask(
          { step1: form('Step 1: What is your name?', { name: { type: 'string' } }) },
          await protocolOf(call).seal('step1'),
        );
  }),
  fixtureTool('test_input_required_result_capabilities', (call) => {
    const envelope = requestOf(call).envelope as Readonly<Record<string, ClientCapabilities>> | undefined;
    const declared = envelope?.[CLIENT_CAPABILITIES_META_KEY];
    return ask({
      ...(declared?.sampling && { answer: sampling('What is the capital of France?') }),
      ...(declared?.elicitation && { user_name: nameForm }),
    });
  }),
];
