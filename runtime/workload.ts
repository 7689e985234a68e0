/** What clients ask of a service most, for the bench: `bench.ts` in the folder of a service. */

type Arguments = Readonly<Record<string, unknown>>;

export interface WorkloadCall<State> {
  /** What it is, in a few words; the first column of the bench. */
  readonly title: string;
  readonly tool: string;
  /** `small-read` is held to the echo, `small-write` to a bare durable insert, `file-write` to a bare durable file; the others to nothing. */
  readonly kind: 'small-read' | 'small-write' | 'file-write' | 'large';
  /** Arguments of the call with this number: writes must differ from each other. */
  readonly arguments: (number: number, state: State) => Arguments;
}

export interface Workload<State> {
  /** Why it cannot be measured on this host, if so. */
  readonly missing?: string | undefined;
  /** Settings besides the data folder; `folder` is empty, and the bench's own. */
  settings?(folder: string): Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>;
  /** Brings a new service to a realistic size. @returns what the calls have to know of it. */
  seed(seeding: {
    readonly folder: string;
    /** Calls a tool. @returns its structured content. @throws Error when it fails. */
    readonly call: (tool: string, args: Arguments) => Promise<Readonly<Record<string, unknown>>>;
  }): Promise<State>;
  /** What it seeds belongs to the calling token: every other one that calls seeds its own. */
  readonly isOwned?: true;
  /** The one that is called most of all, and that others must not slow down, first. */
  readonly calls: readonly [WorkloadCall<State>, ...WorkloadCall<State>[]];
  /** The heaviest that a token may send. */
  readonly heavy: readonly Pick<WorkloadCall<State>, 'tool' | 'arguments'>[];
}

// oxlint-disable-next-line typescript/no-explicit-any -- the bench runs workloads of every state
export type AnyWorkload = Workload<any>;
