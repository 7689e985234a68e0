/** `flotilla alerts`: what is not well, what was, and whether the webhooks take a message. */
import { styleText } from 'node:util';

import { z } from 'zod';

import { exitCodes } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { evidenceLines } from '../../health/slo/messages.ts';
import { askHealth } from '../ask-health.ts';
import { ownCommand } from '../own-command.ts';
import { table } from '../table.ts';

const alertSchema = z.object({
  id: z.number(),
  severity: z.enum(['page', 'ticket']),
  subject: z.string(),
  summary: z.string(),
  since: z.string(),
  openedAt: z.string(),
  resolvedAt: z.string().nullable(),
  isQuiet: z.boolean(),
  evidence: z.array(
    z.object({
      process: z.string(),
      probe: z.string().nullable(),
      manager: z.string().nullable(),
      lines: z.array(z.string()),
      note: z.string().nullable(),
    }),
  ),
});
type Alert = z.output<typeof alertSchema>;

const answerSchema = z.looseObject({
  open: z.array(alertSchema),
  resolved: z.array(alertSchema),
  webhooks: z.array(
    z.object({
      name: z.string(),
      host: z.string(),
      waiting: z.number(),
      delivered: z.number(),
      dropped: z.number(),
      lastDeliveredAt: z.string().nullable(),
      lastFailure: z.string().nullable(),
    }),
  ),
});

export async function listAlerts(
  options: { readonly days: number; readonly json?: boolean },
  environment: Environment,
): Promise<void> {
  const host = parseHostSettings(environment);
  const answer = await askHealth(host, `/alerts?days=${options.days}`, answerSchema);
  if (options.json) {
    say(JSON.stringify(answer, null, 2));
    return;
  }
  const { open, resolved, webhooks } = answer;
  if (open.length === 0) say(`${styleText('green', '●')} No alert is open.`);
  for (const alert of open) for (const line of inFull(alert)) say(line);
  if (resolved.length > 0) {
    say('');
    const rows = resolved.map(({ openedAt, resolvedAt, severity, summary }) => [
      minute(openedAt),
      resolvedAt === null ? '' : minute(resolvedAt),
      severity,
      summary,
    ]);
    process.stdout.write(table(['opened (UTC)', 'resolved', 'severity', 'what'], rows));
  }
  say('');
  if (webhooks.length === 0) {
    say(
      'No webhook is set: alerts stand in the log of health alone. See FLOTILLA_HEALTH_SLACK_URL and its like in config/env.example.',
    );
    return;
  }
  const rows = webhooks.map(({ name, host: of, waiting, delivered, dropped, lastFailure }) => [
    name,
    of,
    String(delivered),
    String(waiting),
    String(dropped),
    lastFailure ?? '',
  ]);
  process.stdout.write(table(['webhook', 'host', 'delivered', 'waiting', 'dropped', 'last failure'], rows));
}

function inFull({ severity, summary, since, isQuiet, evidence }: Alert): string[] {
  const mark = severity === 'page' ? styleText('red', '✕ page') : styleText('yellow', '◐ ticket');
  const quiet = isQuiet ? ' (quiet: maintenance)' : '';
  return [
    `${mark}  ${summary}${quiet}`,
    `    since ${since}`,
    ...evidence.flatMap((one) => evidenceLines(one)).map((line) => `    ${line}`),
  ];
}

const testSchema = z.object({
  webhooks: z.array(
    z.object({
      name: z.string(),
      host: z.string(),
      isTaken: z.boolean(),
      answer: z.string(),
      tookMs: z.number(),
    }),
  ),
});

export async function testAlerts(environment: Environment): Promise<void> {
  const host = parseHostSettings(environment);
  const { webhooks } = await askHealth(host, '/alerts/test', testSchema, {});
  if (webhooks.length === 0) {
    say(
      `No webhook is set. Set one, such as FLOTILLA_HEALTH_SLACK_URL, restart health (${ownCommand()} restart health), and try again.`,
    );
    process.exitCode = exitCodes.config;
    return;
  }
  for (const { name, host: of, isTaken, answer, tookMs } of webhooks) {
    const mark = isTaken ? styleText('green', '✓') : styleText('red', '✗');
    say(`${mark} ${name} (${of}) ${answer}, after ${tookMs} ms`);
  }
  if (webhooks.some(({ isTaken }) => !isTaken)) process.exitCode = exitCodes.failed;
}

/** `2026-01-15 10:00`. */
const minute = (at: string) => at.slice(0, 16).replace('T', ' ');

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
