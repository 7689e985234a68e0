/**
 * The only list of the fleet's processes. Ports, health targets, dashboard rows, client configurations, the README's
 * table and everything else that names a process are derived from it.
 */

/** `1` core, `2` tools, `3` system and external; observers watch calls; platform joins, watches and shows the rest; agents do tasks. */
export type Tier = 1 | 2 | 3 | 'observer' | 'platform' | 'agent';

/** What the process may reach: nothing, this host's loopback, or the outside. */
export type NetworkClass = 'none' | 'loopback' | 'egress';

/** What others believe a process that signs: of whose call it hands on, and of its own. */
export interface Signs {
  /** It says which token calls, at any service. */
  readonly forTokens?: true;
  /** How far it goes in its own name. */
  readonly own: 'read' | 'destroy';
  /**
   * The only thing that it may do there: `canary` reads the lists and calls the canary of the service, as that is defined;
   * otherwise it asks for these documents over HTTP, each where the entry has the flag, speaks no MCP, and is believed nowhere
   * else. Everything, unless given.
   */
  readonly only?: 'canary' | Readonly<Record<`/${string}`, 'watches' | 'standings'>>;
}

/** The same at one process: looking, or these documents. */
export type Only = 'canary' | readonly string[];

export interface CatalogueEntry {
  readonly name: string;
  /** Written, never computed from the position in the list. */
  readonly port: number;
  readonly tier: Tier;
  readonly network: NetworkClass;
  /** What it is for, in one line. */
  readonly description: string;
  /** What it keeps in its data folder, in words; `null` when a restart may forget all of it. */
  readonly data: string | null;
  /** Works on the user's own files, under the roots that the operator names: runs as that user. */
  readonly files?: true;
  /** Starts programs of the host, each in a sandbox of its own: its unit lets it make them, and has room for what they take. */
  readonly sandboxes?: true;
  /** Starts processes or threads of its own code for heavy work: its unit has room for what they take. */
  readonly engines?: true;
  /** Looks at the fleet from the host's side: may read the journal, and what systemd knows of the units. */
  readonly observes?: true;
  /** Tells of the host itself: sees all of /proc, with the processes of all users and whose they are. */
  readonly measures?: true;
  /** Signs what it says of who calls: its unit is handed the key. What it says beyond this is not believed. */
  readonly signs?: Signs;
  /** Tells at `/standings` which models and clients do best, for whoever shows the fleet. */
  readonly standings?: true;
  /** Watches over the fleet, and tells at `/overview` how it is. */
  readonly watches?: true;
  /** Shows the fleet to people; no call needs it. */
  readonly shows?: true;
  /** Asks other processes: its unit is handed a token with this scope. */
  readonly asks?: readonly string[];
}

/** The fleet as it starts and is installed. */
export const catalogue = [
  {
    name: 'memory',
    port: 4321,
    tier: 1,
    network: 'none',
    description: 'Knowledge graph and searchable memories that every client shares.',
    data: 'entities, relations, observations, memories and their history',
  },
  {
    name: 'sequential-thinking',
    port: 4322,
    tier: 1,
    network: 'none',
    description: 'Thinks step by step, with revisions and branches, in sessions that are kept.',
    data: 'sessions of thoughts',
  },
  {
    name: 'context',
    port: 4323,
    tier: 1,
    network: 'none',
    description: 'Token budgets, compaction with handles, snapshots and handoffs.',
    data: 'stored outputs, snapshots, handoffs and budgets',
  },
  {
    name: 'hub',
    port: 4324,
    tier: 1,
    network: 'loopback',
    description: 'Agents find each other, exchange messages that last, and reserve what they change.',
    data: 'agents, messages and their deliveries, shared context and reservations',
  },
  {
    name: 'filesystem',
    port: 4331,
    tier: 2,
    network: 'none',
    description: 'Reads, searches and changes files under the roots that the operator names.',
    data: null,
    files: true,
  },
  {
    name: 'git',
    port: 4332,
    tier: 2,
    network: 'none',
    description: 'Local repositories under allowed roots; nothing that a repository brings along is run.',
    data: null,
    files: true,
    sandboxes: true,
  },
  {
    name: 'python',
    port: 4333,
    tier: 2,
    network: 'none',
    description: 'Runs Python in a sandbox, in sessions that keep variables and files.',
    data: 'sessions and their files',
    sandboxes: true,
  },
  {
    name: 'sqlite',
    port: 4334,
    tier: 2,
    network: 'none',
    description: 'SQLite databases under the roots: queries, changes, transactions, CSV, full-text search.',
    data: 'insights about the data',
    files: true,
    engines: true,
  },
  {
    name: 'orchestrator',
    port: 50_051,
    tier: 2,
    network: 'loopback',
    description: 'Projects and tasks with dependencies, leases and results; workers of any kind do them.',
    data: 'projects, tasks, attempts, results, workers and events',
  },
  {
    name: 'system-info',
    port: 4335,
    tier: 3,
    network: 'loopback',
    description:
      'How the host is, in numbers: processes, memory, disks, pressure, history, anomalies, and the fleet itself.',
    data: 'what was measured of the host: a day in full, a month in sums, a year of events',
    observes: true,
    measures: true,
  },
  {
    name: 'logging',
    port: 4336,
    tier: 3,
    network: 'loopback',
    description: 'Logs of the fleet and the host in one searchable store; takes OpenTelemetry.',
    data: 'log lines and how far each source was read',
    engines: true,
    observes: true,
    asks: ['audit'],
  },
  {
    name: 'supabase',
    port: 4337,
    tier: 3,
    network: 'egress',
    description:
      'A Supabase project, or any Postgres: rows, SQL, schema, files and users; read-only unless told.',
    data: null,
  },
  {
    name: 'reasoning-capture',
    port: 4339,
    tier: 'observer',
    network: 'none',
    description: 'Keeps what models state while they reason, as chains of steps; takes OpenTelemetry traces.',
    data: 'chains of reasoning and their seals',
    engines: true,
  },
  {
    name: 'model-profile',
    port: 4340,
    tier: 'observer',
    network: 'none',
    description:
      'Decisions of models and how they turned out: success, calibration, drift and patterns, with intervals.',
    data: 'decisions, their outcomes, and the sums of them',
    engines: true,
    standings: true,
  },
  {
    name: 'comparative-intelligence',
    port: 4341,
    tier: 'observer',
    network: 'loopback',
    description: 'Compares and ranks models, with intervals, verdicts and how much more data is needed.',
    data: 'battles, ratings, recommendations, reports, and a copy of the decisions of model-profile',
    engines: true,
    asks: ['model-profile:read'],
  },
  {
    name: 'gateway',
    port: 8000,
    tier: 'platform',
    network: 'loopback',
    description: 'One address for all services: every tool behind one URL, for every client.',
    data: 'the key that it signs with, definitions of servers of others as they were first seen, and schemas of clients',
    signs: { forTokens: true, own: 'destroy' },
  },
  {
    name: 'health',
    port: 4360,
    tier: 'platform',
    network: 'loopback',
    description: 'Polls every process once a second and keeps the history; error budgets and alerts.',
    data: 'poll results, error budgets, alerts and maintenance windows, and the key that it signs with',
    observes: true,
    signs: { own: 'read', only: 'canary' },
    watches: true,
  },
  {
    name: 'dashboard',
    port: 4350,
    tier: 'platform',
    network: 'loopback',
    description: 'Shows the fleet: pages for people, status and metrics for programs.',
    data: 'the keys that sign browser sessions, and what it asks others',
    signs: { own: 'read', only: { '/overview': 'watches', '/standings': 'standings' } },
    shows: true,
  },
] as const satisfies readonly CatalogueEntry[];

/** They go to work by themselves, so they start, and are installed, only where somebody asks for them. */
export const agents = [
  {
    name: 'agent-manager',
    port: 50_100,
    tier: 'agent',
    network: 'loopback',
    description:
      'Does tasks of planning: looks through a project, and reports its order, risks and who can do what.',
    data: null,
    asks: ['orchestrator:write', 'hub:write', 'memory:write', 'context:write', 'system-info:read'],
  },
  {
    name: 'agent-frontend',
    port: 50_101,
    tier: 'agent',
    network: 'loopback',
    description: 'Does tasks of user interfaces: files and git.',
    data: null,
    asks: ['orchestrator:write', 'filesystem:write', 'git'],
  },
  {
    name: 'agent-backend',
    port: 50_102,
    tier: 'agent',
    network: 'loopback',
    description: 'Does tasks of servers and APIs: files, git, Python, SQLite to read.',
    data: null,
    asks: ['orchestrator:write', 'filesystem:write', 'git', 'python:write', 'sqlite:read'],
  },
  {
    name: 'agent-database',
    port: 50_103,
    tier: 'agent',
    network: 'loopback',
    description: 'Does tasks of databases: SQLite, Supabase or Postgres, files to read.',
    data: null,
    asks: ['orchestrator:write', 'sqlite:write', 'supabase:write', 'filesystem:read'],
  },
  {
    name: 'agent-devops',
    port: 50_104,
    tier: 'agent',
    network: 'loopback',
    description: 'Does tasks of operations: files, git, Python, and how the host is and what it logs.',
    data: null,
    asks: [
      'orchestrator:write',
      'filesystem:write',
      'git',
      'python:write',
      'system-info:read',
      'logging:read',
    ],
  },
  {
    name: 'agent-integration',
    port: 50_105,
    tier: 'agent',
    network: 'loopback',
    description: 'Does tasks that join systems: git, files, messages of the hub.',
    data: null,
    asks: ['orchestrator:write', 'git', 'filesystem:write', 'hub:write'],
  },
  {
    name: 'agent-qa',
    port: 50_106,
    tier: 'agent',
    network: 'loopback',
    description: 'Does tasks of testing: runs Python, and reads files, git and SQLite.',
    data: null,
    asks: ['orchestrator:write', 'python:write', 'filesystem:read', 'git:read', 'sqlite:read'],
  },
] as const satisfies readonly CatalogueEntry[];

/** Of the fleet, and what may run beside it. */
export const allProcesses: readonly CatalogueEntry[] = [...catalogue, ...agents];

export type AgentName = (typeof agents)[number]['name'];
export type ProcessName = (typeof catalogue)[number]['name'] | AgentName;

/** The order in which tiers start; they stop in the reverse order. */
export const tierOrder: readonly Tier[] = [1, 2, 3, 'observer', 'platform', 'agent'];

export function entryOf(name: string): CatalogueEntry | undefined {
  return allProcesses.find((entry) => entry.name === name);
}

/** Whether a name is that of one of the fleet's agents. */
export const isAgent = (name: string): boolean => agents.some((agent) => agent.name === name);

/** Whether the process has tools of its own: everything but the platform and agents does. */
export function isService(entry: Pick<CatalogueEntry, 'tier'>): boolean {
  return entry.tier !== 'platform' && entry.tier !== 'agent';
}

/** Whether clients call tools there: of its own, or of those it stands in front of. */
export function offersTools(entry: Pick<CatalogueEntry, 'tier' | 'signs'>): boolean {
  return isService(entry) || entry.signs?.forTokens === true;
}

/** What a signer may do at a process; `undefined` where it is not believed. */
export function onlyAt(
  { only }: Signs,
  process: Pick<CatalogueEntry, 'watches' | 'standings'>,
): { readonly only?: Only } | undefined {
  if (only === undefined) return {};
  if (only === 'canary') return { only };
  const paths = Object.entries(only).flatMap(([path, flag]) => (process[flag] ? [path] : []));
  return paths.length > 0 ? { only: paths } : undefined;
}

/** Where its code and its page lie, from the project's root. */
export function folderOf({ name, tier }: Pick<CatalogueEntry, 'name' | 'tier'>): string {
  if (tier === 'agent') return 'agents';
  return isService({ tier }) ? `services/${name}` : name;
}

/** Folders at the top that hold what runs. Releases, tests, and what no client may write into follow from it. */
export const codeFolders: readonly string[] = [
  ...new Set([
    'config',
    'examples',
    'proto',
    'runtime',
    'scripts',
    'services',
    'statistics',
    ...allProcesses.map((entry) => folderOf(entry).split('/')[0] ?? ''),
  ]),
].toSorted();
