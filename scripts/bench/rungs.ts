/** The rungs of the ladder, and what they are asked. */
import type { Rpc } from './message.ts';
import { requestOf, toolCall } from './requests.ts';
import type { TrafficRequest } from './traffic.ts';

/** Goes in, and has to come out. */
export const spoken = { text: 'The staging database moved to port 5433.' };

export interface Question {
  readonly request: (token: string) => TrafficRequest;
  readonly isRight: (answer: Rpc) => boolean;
  /** What every answer under load has to have in it. */
  readonly mustSay: string;
}

const echoes = ({ id, result }: Rpc) => id === 1 && result?.['structuredContent']?.text === spoken.text;

export const questions = {
  call: { request: (token) => toolCall(token, 'echo', spoken), isRight: echoes, mustSay: spoken.text },
  legacyCall: {
    request: (token) => toolCall(token, 'echo', spoken, 'legacy'),
    isRight: echoes,
    mustSay: spoken.text,
  },
  list: {
    request: (token) => requestOf(token, 'tools/list'),
    isRight: ({ result }) => result?.['tools']?.[0]?.name === 'echo',
    mustSay: '"echo"',
  },
  discover: {
    request: (token) => requestOf(token, 'server/discover'),
    isRight: ({ result }) => result?.['supportedVersions']?.includes('2026-07-28') === true,
    mustSay: '2026-07-28',
  },
} as const satisfies Record<string, Question>;

export interface Rung {
  readonly name: string;
  readonly title: string;
  /** Below `rungs/`. */
  readonly script: string;
  readonly question: keyof typeof questions;
}

/** From the ground up; ratios are to the first. A new one is a script in `rungs/` and a line here. */
export const rungs = [
  { name: 'bare', title: 'bare node:http', script: 'bare.ts', question: 'call' },
  { name: 'hono', title: 'bare Hono', script: 'hono.ts', question: 'call' },
  { name: 'sdk', title: 'SDK alone', script: 'sdk.ts', question: 'call' },
  { name: 'flotilla', title: 'Flotilla', script: 'flotilla.ts', question: 'call' },
] as const satisfies readonly Rung[];

/** Other requests, beside what they are to be compared with. */
export const variants = [
  {
    name: 'longWay',
    title: 'Flotilla without its hot path',
    script: 'flotilla-long-way.ts',
    question: 'call',
  },
  {
    name: 'sdk-legacy',
    title: 'SDK alone, tools/call of 2025-11-25',
    script: 'sdk.ts',
    question: 'legacyCall',
  },
  {
    name: 'legacy',
    title: 'Flotilla, tools/call of 2025-11-25',
    script: 'flotilla.ts',
    question: 'legacyCall',
  },
  { name: 'sdk-list', title: 'SDK alone, tools/list', script: 'sdk.ts', question: 'list' },
  { name: 'list', title: 'Flotilla, tools/list', script: 'flotilla.ts', question: 'list' },
  { name: 'discover', title: 'Flotilla, server/discover', script: 'flotilla.ts', question: 'discover' },
] as const satisfies readonly Rung[];
