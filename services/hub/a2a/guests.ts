/**
 * Clients that come by A2A, as agents: so they have a name to send from, and one that can be answered. Nobody asks for what lies in
 * their mailboxes: a task is read from the history. So the hub acknowledges it.
 */
import type { Agents } from '../agents.ts';
import { agentValue } from '../directory.ts';
import { megabyte } from '../limits.ts';
import type { AgentName } from '../message.ts';
import type { Mesh } from '../mesh.ts';
import { guestOf, guestPrefix } from './guest.ts';

const atOnce = 100;
const leaseMs = 60_000;

const value = agentValue.parse({
  description: 'Whoever comes by A2A with this token. Answer with a response and its correlation_id.',
  // Between its requests it is silent.
  timeout_seconds: 86_400,
  mailbox: { ordered: false },
});

export type Guests = ReturnType<typeof openGuests>;

export function openGuests({ engine, directory, now, onArrival, log }: Mesh, agents: Agents) {
  const attended = new Map<AgentName, () => void>();
  const working = new Map<AgentName, Promise<void>>();
  let isOver = false;

  async function empty(guest: AgentName): Promise<void> {
    for (;;) {
      if (isOver) return;
      /* oxlint-disable no-await-in-loop -- until it is empty */
      const nowMs = now();
      const lease = { agent: guest, most: atOnce, mostBytes: megabyte, nowMs, isOrdered: false };
      const delivered = await engine.lease({ ...lease, untilMs: nowMs + leaseMs });
      if (delivered.length === 0) return;
      const receipts = delivered.map(({ stored, attempt }) => ({ seq: stored.seq, attempt }));
      await engine.settle(
        guest,
        receipts.map((receipt) => ({ ...receipt, as: 'acknowledged' })),
        now(),
      );
      /* oxlint-enable no-await-in-loop */
    }
  }

  function tidy(guest: AgentName): void {
    const last = working.get(guest) ?? Promise.resolve();
    const next = last
      .then(async () => empty(guest))
      .catch((error: unknown) => {
        if (!isOver) log.warn('guest_mailbox_not_emptied', { guest, error });
      })
      .finally(() => {
        if (working.get(guest) === next) working.delete(guest);
      });
    working.set(guest, next);
  }

  function attend(guest: AgentName): void {
    if (attended.has(guest)) return;
    attended.set(
      guest,
      onArrival(guest, () => tidy(guest)),
    );
    tidy(guest);
  }

  for (const { key } of directory.agents(now())) if (key.startsWith(guestPrefix)) attend(key);

  return {
    /** @throws ToolError too_large when the token has too many agents. */
    async enter(token: string): Promise<AgentName> {
      const guest = guestOf(token);
      if (directory.agent(guest, now())) await agents.acting(guest, token, now());
      else await agents.register(guest, value, token, now());
      attend(guest);
      return guest;
    },

    async [Symbol.asyncDispose]() {
      isOver = true;
      for (const unsay of attended.values()) unsay();
      await Promise.all(working.values());
    },
  };
}
