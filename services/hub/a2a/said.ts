/** What agents say of a task, in the hub's words and in those of A2A. */
import { z } from 'zod';

import { Artifact, Message, Part, RequestMalformedError, TaskState } from './protocol.ts';

/** The method of the request that a message of A2A becomes. */
export const messageMethod = 'a2a.message';

const line = z.string().optional();
const named = z.record(z.string(), z.unknown()).optional();
const lines = z.array(z.string()).optional();

const partContents = ['text', 'raw', 'url', 'data'] as const;
const hasOneContent = (part: Readonly<Record<string, unknown>>) =>
  partContents.filter((name) => part[name] !== undefined).length === 1;

/** What is sent, as far as the SDK would fail at it or make something else of it. */
const sendField = z.looseObject({
  message: z
    .looseObject({
      messageId: line,
      contextId: line,
      taskId: line,
      parts: z
        .array(
          z
            .looseObject({
              text: line,
              raw: z.base64().optional(),
              url: line,
              filename: line,
              mediaType: line,
              metadata: named,
            })
            // The SDK would keep one of them in silence.
            .refine(hasOneContent, 'must have one of text, raw, url and data'),
          'must be a list of objects',
        )
        .optional(),
      metadata: named,
      extensions: lines,
      referenceTaskIds: lines,
    })
    .optional(),
  configuration: z
    .looseObject({
      acceptedOutputModes: lines,
      historyLength: z.int().min(0).optional(),
      returnImmediately: z.boolean().optional(),
    })
    .optional(),
  metadata: named,
});

/** @throws RequestMalformedError. */
export function requireSendable(given: unknown): void {
  const { error } = sendField.safeParse(given);
  const issue = error?.issues[0];
  if (issue) throw new RequestMalformedError(`${issue.path.join('.')}: ${issue.message}`);
}

/** The body of that request: the message as A2A writes it, with the ids of its task and context. */
const requestBody = z.looseObject({
  method: z.literal(messageMethod),
  params: z.looseObject({ message: z.looseObject({ contextId: z.string().min(1) }) }),
});

export const bodyOfMessage = (message: Message, more: Readonly<Record<string, unknown>>) => ({
  method: messageMethod,
  params: { message: Message.toJSON(message), ...more },
});

export function messageIn(body: unknown): Message | undefined {
  const { data } = requestBody.safeParse(body);
  return data && Message.fromJSON(data.params.message);
}

/** Stands for what is too long to be told. */
export const elsewhere = (source: string, id: string, bytes: number) => ({
  note: 'Too long to be told here: get_message of the hub has it.',
  source,
  id,
  body_bytes: bytes,
});

export const cancelBody = { event: 'cancel', cancel: true } as const;
export const isCancel = (body: unknown): boolean =>
  z.looseObject({ cancel: z.literal(true) }).safeParse(body).success;

type Result = {
  readonly as: 'result';
  readonly artifacts: readonly Artifact[];
  readonly parts: readonly Part[];
};

export type Update =
  | { readonly as: 'status'; readonly state: TaskState; readonly parts: readonly Part[] }
  | {
      readonly as: 'artifact';
      readonly artifact: Artifact;
      readonly append: boolean;
      readonly isLast: boolean;
    }
  | Result;

const states: Readonly<Record<string, TaskState>> = {
  submitted: TaskState.TASK_STATE_SUBMITTED,
  pending: TaskState.TASK_STATE_SUBMITTED,
  assigned: TaskState.TASK_STATE_SUBMITTED,
  working: TaskState.TASK_STATE_WORKING,
  in_progress: TaskState.TASK_STATE_WORKING,
  input_required: TaskState.TASK_STATE_INPUT_REQUIRED,
  blocked: TaskState.TASK_STATE_INPUT_REQUIRED,
  auth_required: TaskState.TASK_STATE_AUTH_REQUIRED,
  completed: TaskState.TASK_STATE_COMPLETED,
  failed: TaskState.TASK_STATE_FAILED,
  canceled: TaskState.TASK_STATE_CANCELED,
  cancelled: TaskState.TASK_STATE_CANCELED,
  rejected: TaskState.TASK_STATE_REJECTED,
};

const stateField = z
  .string()
  .transform((word) => states[word.toLowerCase().replace('task_state_', '').replaceAll('-', '_')])
  .pipe(z.enum(TaskState));

const partField = z
  .looseObject({ text: z.string().optional(), raw: z.base64().optional(), url: z.string().optional() })
  .refine(hasOneContent);
const partsField = z.array(partField).min(1).max(1_000);

/** A text, a list of parts as A2A has them, or any value. */
export function partsOf(value: unknown): Part[] {
  if (typeof value === 'string') return [Part.fromJSON({ text: value })];
  const { data } = partsField.safeParse(value);
  return data ? data.map((part) => Part.fromJSON(part)) : [Part.fromJSON({ data: value })];
}

const artifactField = z.looseObject({
  artifact_id: z.string().min(1).max(200).optional(),
  artifactId: z.string().min(1).max(200).optional(),
  name: z.string().optional(),
  description: z.string().optional(),
  parts: partsField,
});

function artifactOf(given: z.output<typeof artifactField>, otherwise: string): Artifact {
  const { artifact_id, artifactId = artifact_id ?? otherwise, name, description, parts } = given;
  return Artifact.fromJSON({ artifactId, name, description, parts });
}

const manyArtifacts = z.looseObject({
  artifacts: z.array(artifactField).min(1).max(100),
  message: z.unknown().optional(),
});

/** What came of a request. A result is any value; one that has parts or artifacts of A2A is taken as these. */
function resultOf(result: unknown): Result {
  const many = manyArtifacts.safeParse(result).data;
  if (many) {
    const artifacts = many.artifacts.map((one, at) => artifactOf(one, `result-${at + 1}`));
    return { as: 'result', artifacts, parts: many.message === undefined ? [] : partsOf(many.message) };
  }
  const one = artifactField.safeParse(result).data;
  if (one) return { as: 'result', artifacts: [artifactOf(one, 'result')], parts: [] };
  if (result === null || result === undefined) return { as: 'result', artifacts: [], parts: [] };
  const artifact = Artifact.fromJSON({ artifactId: 'result', name: 'result' });
  return { as: 'result', artifacts: [{ ...artifact, parts: partsOf(result) }], parts: [] };
}

const failure = z.looseObject({ code: z.string().optional(), message: z.string() });
const failed = ({ code, message }: z.output<typeof failure>): Update => ({
  as: 'status',
  state: TaskState.TASK_STATE_FAILED,
  parts: partsOf(code === undefined ? message : `${code}: ${message}`),
});

const answerBody = z.looseObject({
  text: z.string().optional(),
  result: z.unknown().optional(),
  error: failure.optional(),
});

const statusBody = z.looseObject({
  state: stateField,
  text: z.string().optional(),
  parts: partsField.optional(),
});
const artifactBody = z.looseObject({
  artifact: artifactField,
  append: z.boolean().default(false),
  last_chunk: z.boolean().default(true),
});
const taskBody = z.looseObject({
  status: stateField,
  detail: z.string().optional(),
  result: z.unknown().optional(),
});

const readers: Readonly<Record<string, (body: unknown) => Update | undefined>> = {
  response: answerOf,
  agent_response: answerOf,
  error(body) {
    const { data } = failure.safeParse(body);
    return data && failed(data);
  },
  notification(body) {
    const status = statusBody.safeParse(body).data;
    if (status) {
      const parts = status.parts ?? status.text;
      return { as: 'status', state: status.state, parts: parts === undefined ? [] : partsOf(parts) };
    }
    const given = artifactBody.safeParse(body).data;
    if (!given) return undefined;
    const artifact = artifactOf(given.artifact, 'result');
    return { as: 'artifact', artifact, append: given.append, isLast: given.last_chunk };
  },
  task_notification(body) {
    const { data } = taskBody.safeParse(body);
    if (!data) return undefined;
    if (data.status === TaskState.TASK_STATE_COMPLETED) return resultOf(data.result);
    return { as: 'status', state: data.status, parts: data.detail === undefined ? [] : partsOf(data.detail) };
  },
};

function answerOf(body: unknown): Update | undefined {
  const { data } = answerBody.safeParse(body);
  if (!data) return undefined;
  const { text, result, error } = data;
  if (error) return failed(error);
  if (result === undefined) return resultOf(text);
  const update = resultOf(result);
  return text === undefined ? update : { ...update, parts: partsOf(text) };
}

/** What a message of an agent says of the task; `undefined` when nothing. */
export const updateOf = (type: string, body: unknown): Update | undefined => readers[type]?.(body);
