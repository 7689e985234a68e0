/** What a client that comes by A2A is called among the agents: one name for each token. */
import type { AgentName } from '../message.ts';

export const guestPrefix = 'a2a:';

/** Names of agents have no capitals, and names of tokens no `@`: it stands before a letter that was one. */
export const guestOf = (token: string): AgentName =>
  guestPrefix + token.replaceAll(/[A-Z]/g, (letter) => `@${letter.toLowerCase()}`);
