/** A gateway with the orchestrator, the hub and memory behind it, and how its REST interface is asked. */
import hub from '../../services/hub/service.ts';
import memory from '../../services/memory/service.ts';
import orchestrator from '../../services/orchestrator/service.ts';
import { serveBehind, type Fronted } from './fronted.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- what is answered is looked at field by field
type Data = any;

export interface Told {
  readonly http: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: {
    readonly status: string;
    readonly data: Data;
    readonly message: string;
    readonly errors: readonly { code: string; message: string; path?: string; hint?: string }[];
    readonly warnings: readonly { code: string; path?: string }[];
    readonly metadata: Data;
  };
}

export interface Asking {
  readonly body?: unknown;
  /** As it is, in place of a body of JSON. */
  readonly raw?: string;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RestTrial extends AsyncDisposable {
  readonly fronted: Fronted;
  readonly url: string;
  readonly token: string;
  ask(method: string, path: string, asking?: Asking): Promise<Told>;
}

export async function openRest(options: Parameters<typeof serveBehind>[1] = {}): Promise<RestTrial> {
  const fronted = await serveBehind([orchestrator, hub, memory], options);
  const { url, token } = fronted.gateway;
  return {
    fronted,
    url,
    token,
    async ask(method, path, { body, raw, token: other = token, headers = {} } = {}) {
      const text = raw ?? (body === undefined ? undefined : JSON.stringify(body));
      const response = await fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${other}`,
          ...(text !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(text !== undefined && { body: text }),
      });
      const answer = await response.text();
      return {
        http: response.status,
        headers: response.headers,
        text: answer,
        body: (answer === '' ? {} : JSON.parse(answer)) as Told['body'],
      };
    },
    [Symbol.asyncDispose]: async () => fronted[Symbol.asyncDispose](),
  };
}
