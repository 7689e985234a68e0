/** Every suite by its name, in the order in which they run; a suite's code is loaded when it is its turn. */
import type { Suite } from './section.ts';

export const suites = {
  ladder: async () => (await import('./ladder.ts')).ladder,
  tools: async () => (await import('./tools.ts')).toolCalls,
  fair: async () => (await import('./fair.ts')).fairness,
  gateway: async () => (await import('./gateway.ts')).gatewayCalls,
  rest: async () => (await import('./rest.ts')).rest,
  programs: async () => (await import('./programs.ts')).programs,
  peers: async () => (await import('./peers.ts')).peerServers,
  retrieval: async () => (await import('./retrieval.ts')).retrieval,
  scale: async () => (await import('./scale.ts')).scale,
  logs: async () => (await import('./logs.ts')).logs,
  ingest: async () => (await import('./ingest.ts')).ingest,
  decisions: async () => (await import('./decisions.ts')).decisions,
  hub: async () => (await import('./hub.ts')).hub,
  orchestrator: async () => (await import('./orchestrator.ts')).orchestrator,
  fleet: async () => (await import('./fleet.ts')).fleet,
  clients: async () => (await import('./clients.ts')).clients,
  load: async () => (await import('./load-table.ts')).loadTable,
} as const satisfies Readonly<Record<string, () => Promise<Suite>>>;

export type SuiteName = keyof typeof suites;

export const suiteNames = Object.keys(suites) as readonly SuiteName[];
