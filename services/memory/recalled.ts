import { Reply } from '#runtime/tool.ts';

/** Stored text came from anyone who could write: whoever shows it to a model must know that it is data. */
export const recalled = <Value>(value: Value) => new Reply(value, { meta: { 'flotilla/untrusted': true } });
