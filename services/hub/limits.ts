/** How much of what; times in milliseconds. */

const second = 1_000;
const minute = 60 * second;
const day = 24 * 60 * minute;

export const megabyte = 1_048_576;

/** Of JSON; what a message may hold. */
export const mostBodyBytes = 10 * megabyte;
/** Lists and objects in each other. */
export const deepestBody = 100;
/** A request may hold a message whose text is escaped in part, or many messages. */
export const mostRequestBytes = 24 * megabyte;
export const mostMessagesPerCall = 100;
/** Mailboxes that the messages of one call go to, each counted. */
export const mostReceiversPerCall = 10_000;
/** After a message to more, others have their turn. */
export const manyReceivers = 50;
/** Names that the history keeps, by which messages are found. */
export const mostReceiversKept = 1_000;

export const longestTtlMs = 7 * day;
export const longestLeaseMs = 12 * 60 * minute;
/** Clients give up after a minute. */
export const longestWaitMs = 50 * second;
export const longestDelayMs = day;

export const mostAgentsPerToken = 10_000;
export const mostSubscriptionsPerAgent = 200;
/** Each is looked at when its topic is spoken of, and all are kept in memory. */
export const mostSubscriptionsPerToken = 20_000;
export const mostRulesPerToken = 200;
export const mostTypesPerToken = 200;
export const mostContextBytes = 262_144;
export const mostReservationsPerToken = 2_000;
export const longestReservationMs = day;
/** Calls that wait for messages at one hub, and of one token. */
export const mostWaiting = 3_000;
/** A token may have little more than a thousand connections. */
export const mostWaitingPerToken = 1_000;

/** Bodies above a megabyte that clients who listen have not taken yet: each takes several times its length. */
export const mostLongPerToken = 8;

/** How often the hub looks for leases that have ended, and for agents that are gone. */
export const sweepMs = second;
/** What is read of the log at a time, and for one answer. */
export const readAtOnce = 200;
export const readPerCall = 5_000;
export const pagesPerCall = readPerCall / readAtOnce;

export const hubName = 'hub';
export const topics = {
  agents: 'hub.agents',
  deadLetters: 'hub.dead_letters',
  alert: 'system.alert',
} as const;
