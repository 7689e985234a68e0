/** Choices of tools for kinds of work, in the words of `runtime/access/choice.ts`: a client lists no more than it needs. */
export const profiles: Readonly<Record<string, readonly string[]>> = {
  coding: ['memory:core', 'context:core', 'filesystem', 'git', 'python:core'],
  data: ['memory:core', 'context:core', 'filesystem:core', 'python', 'sqlite', 'supabase'],
  operations: ['memory:core', 'filesystem:core', 'git:core', 'logging', 'system-info'],
};
