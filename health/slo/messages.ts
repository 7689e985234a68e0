/** What an alert says, for each kind of webhook. Pure: text in, a request's body and headers out. */
import type { Alert, Event, News } from './alerts.ts';
import type { Evidence } from './evidence.ts';

export const webhookKinds = ['json', 'slack', 'ntfy'] as const;
export type WebhookKind = (typeof webhookKinds)[number];

/** As it is kept until it is delivered. */
export interface Message {
  readonly id: string;
  readonly event: Event | 'test';
  readonly host: string;
  readonly atMs: number;
  readonly alerts: readonly Alert[];
}

export interface Body {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Alerts of one message that are told in full; the rest is counted. */
const mostInFull = 10;
const mostLines = 5;
/** ntfy makes an attachment of what is longer. */
const mostNtfyBytes = 4_000;
/** Slack cuts a text at 40,000 characters, a section at 3,000. */
const mostSlackCharacters = 3_000;

/** Of many alerts, the first have all that was found about them. */
export function messageOf({ event, alerts }: News, id: string, host: string, atMs: number): Message {
  const bounded = alerts.map((alert, index) => (index < mostInFull ? alert : { ...alert, evidence: [] }));
  return { id, event, host, atMs, alerts: bounded };
}

const json = (value: unknown): Body => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(value),
});

const forms: Readonly<Record<WebhookKind, (message: Message) => Body>> = {
  json: (message) => json(jsonOf(message)),
  slack: (message) => json(slackOf(message)),
  ntfy: ntfyOf,
};

export const bodyFor = (kind: WebhookKind, message: Message): Body => forms[kind](message);

const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());

/** The generic form, which README.md of health describes. */
function jsonOf({ id, event, host, atMs, alerts }: Message): unknown {
  return {
    version: 1,
    id,
    event,
    host,
    at: iso(atMs),
    title: titleOf({ event, host, alerts }),
    alerts: alerts.map((alert) => alertDocument(alert)),
  };
}

export function alertDocument(alert: Alert): Readonly<Record<string, unknown>> {
  const { id, key, kind, severity, subject, summary, sinceMs, openedMs, resolvedMs, toldMs, evidence } =
    alert;
  return {
    id,
    key,
    kind,
    severity,
    subject,
    summary,
    since: iso(sinceMs),
    openedAt: iso(openedMs),
    resolvedAt: iso(resolvedMs),
    isQuiet: toldMs === null,
    evidence,
  };
}

const eventWords: Readonly<Record<Message['event'], string>> = {
  opened: 'Alert',
  worse: 'Worse',
  reminder: 'Still',
  resolved: 'Resolved',
  test: 'Test',
};

export function titleOf({ event, host, alerts }: Pick<Message, 'event' | 'host' | 'alerts'>): string {
  const subjects = [...new Set(alerts.map(({ subject }) => subject))];
  const named = subjects.slice(0, 3).join(', ');
  const more = subjects.length > 3 ? ` and ${subjects.length - 3} more` : '';
  return event === 'test'
    ? `Flotilla on ${host}: test message`
    : `${eventWords[event]} on ${host}: ${named}${more}`;
}

/** As a person reads it: what, since when, and why. */
function linesOf({ event, atMs, alerts }: Message): string[] {
  if (event === 'test')
    return ['This is a test by "flotilla alerts test". Nothing is wrong.', `Sent ${iso(atMs)}.`];
  const inFull = alerts
    .slice(0, mostInFull)
    .flatMap((alert) => [
      `${alert.severity === 'page' ? '🔴' : '🟡'} ${alert.severity}: ${alert.summary}`,
      alert.resolvedMs === null
        ? `since ${iso(alert.sinceMs)}`
        : `from ${iso(alert.sinceMs)} to ${iso(alert.resolvedMs)}`,
      ...(event === 'resolved' ? [] : alert.evidence.flatMap((evidence) => evidenceLines(evidence))),
    ]);
  const rest = alerts.length - mostInFull;
  return [...inFull, ...(rest > 0 ? [`and ${rest} more: flotilla alerts`] : [])];
}

export function evidenceLines({ process, probe, manager, lines, note }: Evidence): string[] {
  return [
    ...(probe === null ? [] : [`last probe of ${process}: ${probe}`]),
    ...(manager === null ? [] : [`${process}: ${manager}`]),
    ...(note === null ? [] : [`${process}: ${note}`]),
    ...lines.slice(-mostLines).map((line) => `  ${line}`),
  ];
}

/** Slack's incoming webhooks, and what takes the same: `text` for notifications, blocks for reading. */
function slackOf(message: Message): unknown {
  const title = titleOf(message);
  const text = linesOf(message).map(escaped).join('\n');
  return {
    text: escaped(title),
    blocks: [
      { type: 'header', text: { type: 'plain_text', text: cut(title, 150) } },
      { type: 'section', text: { type: 'mrkdwn', text: cut(text, mostSlackCharacters) } },
    ],
  };
}

/** Of Slack's mark-up: a log line must name nobody and link to nothing. */
const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** https://docs.ntfy.sh/publish: the body is the text, headers say the rest. */
function ntfyOf(message: Message): Body {
  const isPage = message.alerts.some(({ severity }) => severity === 'page');
  const isNews = message.event === 'opened' || message.event === 'worse';
  const tags = {
    opened: 'rotating_light',
    worse: 'rotating_light',
    reminder: 'hourglass',
    resolved: 'white_check_mark',
    test: 'test_tube',
  };
  return {
    headers: {
      'content-type': 'text/plain; charset=utf-8',
      title: encodedWord(titleOf(message)),
      priority: isPage && isNews ? '5' : '3',
      tags: tags[message.event],
    },
    body: cutBytes(linesOf(message).join('\n'), mostNtfyBytes),
  };
}

/** A header takes ASCII alone (RFC 2047). */
const encodedWord = (text: string) =>
  /^[\x20-\x7e]*$/.test(text) ? text : `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`;

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function cutBytes(text: string, most: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  return `${bytes
    .subarray(0, most - 3)
    .toString('utf8')
    .replace(/�+$/, '')}…`;
}
