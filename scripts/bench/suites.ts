/** Every suite by its name, in the order in which they run; a suite's code is loaded when it is its turn. */
import type { Suite } from './section.ts';

interface Entry {
  /** For the help and for docs/performance.md. */
  readonly measures: string;
  readonly load: () => Promise<Suite>;
}

export const suites = {
  ladder: {
    measures: 'one small call on bare node:http, bare Hono, the SDK alone and all of Flotilla',
    load: async () => (await import('./ladder.ts')).ladder,
  },
  tools: {
    measures: 'the calls that clients make most, of every service, beside the echo and bare durable writes',
    load: async () => (await import('./tools.ts')).toolCalls,
  },
  fair: {
    measures: 'small calls of one token beside the heaviest of another',
    load: async () => (await import('./fair.ts')).fairness,
  },
  gateway: {
    measures: 'a call through the gateway beside the same call without it',
    load: async () => (await import('./gateway.ts')).gatewayCalls,
  },
  rest: {
    measures: 'a task read by REST through the gateway, beside the same call of MCP, at a given rate',
    load: async () => (await import('./rest.ts')).rest,
  },
  programs: {
    measures: 'tasks of several steps by calls and by programs that make them, in tokens and round trips',
    load: async () => (await import('./programs.ts')).programs,
  },
  peers: {
    measures: 'the official servers over their own transport, and our memory service beside them',
    load: async () => (await import('./peers.ts')).peerServers,
  },
  retrieval: {
    measures: 'how often a search in memories finds the answer',
    load: async () => (await import('./retrieval.ts')).retrieval,
  },
  scale: {
    measures: 'what a search costs among many memories',
    load: async () => (await import('./scale.ts')).scale,
  },
  logs: {
    measures: 'how fast log lines are stored, found among many, and their bytes on disk',
    load: async () => (await import('./logs.ts')).logs,
  },
  ingest: {
    measures:
      'how fast steps of reasoning are stored over HTTP, beside a bare loop that inserts the same rows',
    load: async () => (await import('./ingest.ts')).ingest,
  },
  decisions: {
    measures: 'how fast decisions are recorded over HTTP, with few models and with many, and their memory',
    load: async () => (await import('./decisions.ts')).decisions,
  },
  hub: {
    measures:
      'messages sent, delivered and acknowledged over HTTP, beside a bare loop that does the same to the same rows; many agents, a long history',
    load: async () => (await import('./hub.ts')).hub,
  },
  orchestrator: {
    measures:
      'tasks of a graph done by seven workers over HTTP, beside a bare loop with a commit a step; how soon a dependent starts; reads by gRPC',
    load: async () => (await import('./orchestrator.ts')).orchestrator,
  },
  fleet: {
    measures: 'start of the whole fleet, memory of its idle processes, memory after many calls',
    load: async () => (await import('./fleet.ts')).fleet,
  },
  clients: {
    measures: 'a thousand clients at once, reading and writing',
    load: async () => (await import('./clients.ts')).clients,
  },
  load: {
    measures: 'the load table, with a row for each promise',
    load: async () => (await import('./load-table.ts')).loadTable,
  },
} as const satisfies Readonly<Record<string, Entry>>;

export type SuiteName = keyof typeof suites;

export const suiteNames = Object.keys(suites) as readonly SuiteName[];
