/** What goes wrong with a foreign server; apart from the SDK, which is loaded with the first of them. */

/** An error of the protocol that the foreign server answered with: code, message and data are its own. */
export class ForeignError extends Error {
  override readonly name = 'ForeignError';
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** Why there is no connection. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError';
  /** It is there, and did not take the question: it may take the one of the other era. */
  readonly isReached: boolean;

  constructor(message: string, isReached: boolean, cause: unknown) {
    super(message, { cause });
    this.isReached = isReached;
  }
}
