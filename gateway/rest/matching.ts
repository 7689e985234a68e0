/** Which operation a request is for. Pure. */
import type { Method, Operation } from './operation.ts';
import { refusal } from './refusal.ts';

export interface Matched {
  readonly operation: Operation;
  readonly variables: Readonly<Record<string, string>>;
}

/** One path, and what can be done there. */
interface Place {
  readonly parts: readonly string[];
  readonly byMethod: Map<string, Operation>;
}

const partsOf = (path: string) => path.split('/').slice(1);
const nameIn = (part: string) => /^\{(\w+)\}$/.exec(part)?.[1];

export class Matching {
  readonly #places: readonly Place[];

  constructor(operations: readonly Operation[]) {
    const byPath = Map.groupBy(operations, ({ path }) => path);
    this.#places = [...byPath]
      .map(([path, here]) => ({
        parts: partsOf(path),
        byMethod: new Map(here.map((one) => [one.method, one])),
      }))
      // Of two that fit, the one that names more of the path itself.
      .toSorted((one, other) => variablesIn(one) - variablesIn(other));
  }

  /** @throws Refusal for what is nowhere, or cannot be done there. */
  find(method: string, path: string): Matched {
    const asked = partsOf(path);
    const place = this.#places.find(
      ({ parts }) =>
        parts.length === asked.length &&
        parts.every((part, at) => (nameIn(part) === undefined ? part === asked[at] : asked[at] !== '')),
    );
    if (!place)
      throw refusal(
        404,
        'There is nothing at this path.',
        'GET /openapi.json tells all paths; GET /docs shows them.',
      );
    const { byMethod, parts } = place;
    const operation = byMethod.get(method === 'HEAD' ? 'GET' : method);
    if (!operation) {
      const allow = allowed([...byMethod.keys()] as Method[]);
      throw refusal(405, `${method.slice(0, 20)} is not done here: ${allow} are.`, undefined, { allow });
    }
    const variables = parts.flatMap((part, at) => {
      const name = nameIn(part);
      return name === undefined ? [] : [[name, decoded(asked[at] ?? '')] as const];
    });
    return { operation, variables: Object.fromEntries(variables) };
  }
}

const variablesIn = ({ parts }: Place) => parts.filter((part) => nameIn(part) !== undefined).length;

const allowed = (methods: readonly Method[]) =>
  [...methods, ...(methods.includes('GET') ? ['HEAD'] : [])].toSorted().join(', ');

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw refusal(400, 'The path has a % that is no part of an encoded character.');
  }
}
