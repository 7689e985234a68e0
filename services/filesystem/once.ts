/** Work that counts for all who asked for it before it began, such as a wait for the disk. */
interface Turn {
  readonly done: Promise<void>;
  /** For those who came since it began. */
  next: Promise<void> | undefined;
}

const turns = new Map<string, Turn>();

/** Runs `work`, or waits until another one of this name has run that began after now. */
export async function onceForAll(name: string, work: () => Promise<void>): Promise<void> {
  const turn = turns.get(name);
  if (!turn) return begin(name, work);
  const again = async () => begin(name, work);
  turn.next ??= turn.done.then(again, again);
  return turn.next;
}

async function begin(name: string, work: () => Promise<void>): Promise<void> {
  const turn: Turn = { done: work(), next: undefined };
  turns.set(name, turn);
  try {
    await turn.done;
  } finally {
    if (turn.next === undefined) turns.delete(name);
  }
}
