import type { Call } from '#runtime/tool.ts';

export const isoAfter = ({ nowMs }: Pick<Call, 'nowMs'>, seconds: number) =>
  new Date(nowMs + seconds * 1_000).toISOString();
