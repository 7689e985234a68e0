/** What a stream has still to tell. */

export interface Told {
  /** Of the task, where a stream has several. */
  readonly id?: string;
  readonly progress?: object;
}

export class Outbox {
  readonly #waiting: Told[] = [];
  #news = Promise.withResolvers<void>();
  #empty = Promise.withResolvers<void>();

  /** Of the progress of a task the latest is told, and nothing that was before it. */
  tell(message: Told): void {
    const before = this.#waiting.findIndex(
      ({ id, progress }) => id === message.id && progress !== undefined && message.progress !== undefined,
    );
    if (before === -1) this.#waiting.push(message);
    else this.#waiting[before] = message;
    this.#news.resolve();
  }

  /** Resolves when all has been taken, or nobody takes any more. */
  async told(): Promise<void> {
    if (this.#waiting.length > 0) await this.#empty.promise;
  }

  /** Each message when the one before has been taken, until the work has ended and all is told. @throws what the work throws. */
  async *until(work: Promise<void>): AsyncGenerator<Told> {
    let isOver = false;
    const over = work.finally(() => {
      isOver = true;
      this.#news.resolve();
    });
    over.catch(() => {});
    try {
      for (;;) {
        for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) yield next;
        this.#empty.resolve();
        this.#empty = Promise.withResolvers();
        if (isOver) break;
        await this.#news.promise;
        this.#news = Promise.withResolvers();
      }
      await over;
    } finally {
      this.#empty.resolve();
    }
  }
}
