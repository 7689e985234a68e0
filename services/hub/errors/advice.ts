/** What to recommend when failures look like this: data. `report.ts` applies it. */
import type { Category } from './rules.ts';

export const trends = ['new', 'rising', 'steady', 'falling'] as const;
export type Trend = (typeof trends)[number];

/** Holds for a pattern that fits all that is said. */
export interface AdviceRule {
  readonly name: string;
  readonly categories?: readonly Category[];
  /** Names of rules of classification. */
  readonly kinds?: readonly string[];
  readonly trends?: readonly Trend[];
  readonly leastFailures: number;
  readonly leastAgents?: number;
  readonly mostAgents?: number;
  /** Of the time that work took before it failed, in the whole report. */
  readonly leastShareOfWork?: number;
  readonly advice: string;
}

export const adviceRules: readonly AdviceRule[] = [
  {
    name: 'stop_writing',
    kinds: ['damaged_data', 'disk_broken'],
    leastFailures: 1,
    advice:
      'Stop what writes there, copy the data while it can be read, and look at the disk before you go on.',
  },
  {
    name: 'make_room',
    kinds: ['disk_full', 'out_of_memory'],
    leastFailures: 1,
    advice: 'Make room: nothing is kept or done reliably until there is some. Another try does not help.',
  },
  {
    name: 'common_cause',
    categories: ['connection', 'timeout'],
    leastFailures: 3,
    leastAgents: 2,
    advice: 'Several agents cannot reach the same thing: see whether it runs before you look at the agents.',
  },
  {
    name: 'unreachable',
    kinds: ['refused', 'unknown_host', 'unreachable'],
    leastFailures: 3,
    mostAgents: 1,
    advice: 'One agent alone cannot reach it: check the address and port that this agent uses.',
  },
  {
    name: 'unsteady_connection',
    kinds: ['away', 'cut_off'],
    leastFailures: 10,
    advice:
      'The other end comes and goes: look at its restarts, and set a strategy with reconnect and a fallback.',
  },
  {
    name: 'renew_credentials',
    kinds: ['not_authenticated', 'certificate'],
    leastFailures: 1,
    advice: 'Renew the credentials or the certificate: until then every further try fails the same.',
  },
  {
    name: 'ask_for_permission',
    kinds: ['not_allowed'],
    leastFailures: 3,
    advice: 'Let the agent stop trying, or give its token or user the permission that is missing.',
  },
  {
    name: 'mend_the_input',
    categories: ['validation'],
    leastFailures: 5,
    advice: 'The same wrong input is sent again and again: mend what makes it. Another try cannot help.',
  },
  {
    name: 'give_more_time',
    kinds: ['timeout'],
    leastFailures: 5,
    advice: 'Ask for less at once, allow more time, or extend the lease while work goes on.',
  },
  {
    name: 'slow_down',
    kinds: ['slow_down', 'none_left'],
    leastFailures: 5,
    advice: 'Send less at a time, and set a retry strategy with a longer initial_delay_ms.',
  },
  {
    name: 'take_turns',
    kinds: ['busy'],
    leastFailures: 5,
    advice: 'Let agents take turns: reserve the name of what they share before they work on it.',
  },
  {
    name: 'send_less',
    kinds: ['too_large'],
    leastFailures: 3,
    advice: 'Send less in one piece: split it, or send where it can be found.',
  },
  {
    name: 'speak_the_same',
    categories: ['protocol'],
    leastFailures: 3,
    advice: 'The two ends do not speak the same: compare their versions, and what the other end offers.',
  },
  {
    name: 'mend_the_program',
    kinds: ['bug', 'internal', 'process_died'],
    leastFailures: 3,
    advice: 'A program fails by itself: read its log at these times, and mend or restart it.',
  },
  {
    name: 'tell_more',
    categories: ['unknown'],
    leastFailures: 5,
    advice: 'Report these with code, http_status or name, so that what to do about them can be known.',
  },
  {
    name: 'what_has_changed',
    trends: ['new', 'rising'],
    leastFailures: 20,
    advice: 'This is new or grows fast: look at what was changed shortly before it began.',
  },
  {
    name: 'lost_work',
    leastFailures: 3,
    leastShareOfWork: 0.5,
    advice:
      'Most of the lost time is lost here: make the work smaller, or keep what is done of it between tries.',
  },
];
