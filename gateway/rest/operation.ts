/** What an operation of the REST interface is: data. Whoever answers, and in which words, follows from the tool behind it. */

/** A part of the document under which operations are shown. */
export const tags = {
  projects: 'Projects, their progress, and the graph of their tasks.',
  tasks: 'Tasks: made by clients, done by workers.',
  workers: 'Who does tasks.',
  agents: 'Who is registered at the hub.',
  events: 'What happens, as it happens.',
  tools: 'Every tool of the fleet that the token may call.',
  schemas: 'Forms of values, registered by clients, and values brought into form.',
  integrations: 'Platforms outside, through the servers of others that are mounted.',
  system: 'The fleet itself.',
} as const;

export type Tag = keyof typeof tags;
export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
export type Value = Readonly<Record<string, unknown>>;

export interface Operation {
  /** Unique: clients that are generated name their functions by it. */
  readonly id: string;
  readonly method: Method;
  /** Its variables are arguments of the tool. */
  readonly path: `/api/v1/${string}`;
  readonly tag: Tag;
  readonly summary: string;
  /**
   * Answers it. Its other arguments come from the query of GET and DELETE, and from the body of POST and PATCH. The gateway itself
   * has those of `gateway`; `*` stands for the tool that the variable `name` names.
   */
  readonly tool: string;
  readonly service: 'orchestrator' | 'hub' | 'gateway' | '*';
  /** Of its value, what becomes `data`; all of it unless given. */
  readonly value?: string;
  /** `value` is a list, and this the only one in it that is meant. */
  readonly isOne?: true;
  /** `value` is a list, of which the cursor leads to the rest. */
  readonly isPaged?: true;
  /** Of `data`, only these. */
  readonly parts?: readonly string[];
  /** Arguments that nobody gives. */
  readonly fixed?: Value;
  /** Arguments that are not taken; all others are. */
  readonly without?: readonly string[];
  /** The body is one thing of the list that the tool takes under this name, with the other arguments beside it. */
  readonly wraps?: string;
  /** `data` has a version: it is part of the ETag, and `If-Match` becomes `if_version`. */
  readonly isVersioned?: true;
  /** `Idempotency-Key` becomes `idempotency_key`. */
  readonly takesKey?: true;
  /** Where to look for what was made; without it nothing is. */
  readonly location?: (data: Value, args: Value) => string;
  /** Whether `data` tells that a part is missing. */
  readonly isPartial?: (data: Value) => boolean;
  /** `data` is a judgement of the value in it: `valid`, `value`, `errors`, `warnings`. */
  readonly isJudged?: true;
  /** A body that fits, for readers. */
  readonly example?: Value;
}

const variable = /\{(\w+)\}/g;

export const variablesOf = ({ path }: Pick<Operation, 'path'>): readonly string[] =>
  [...path.matchAll(variable)].map(([, name = '']) => name);

/** Whether arguments come in the body. */
export const hasBody = ({ method }: Pick<Operation, 'method'>): boolean =>
  method === 'POST' || method === 'PATCH';
