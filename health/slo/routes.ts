/** What others ask about budgets, alerts and maintenance windows, and what administrators do. */
import { z } from 'zod';

import { allProcesses } from '#config/catalogue.ts';
import { exposed } from '#runtime/account/metrics.ts';
import { ToolError } from '#runtime/errors.ts';
import { plainText } from '#runtime/plain-text.ts';
import { bodyOf } from '#runtime/request-body.ts';
import type { Route } from '#runtime/service.ts';

import { dayMs } from './burn.ts';
import { longestWindowMs, type MaintenanceWindow } from './maintenance.ts';
import { alertDocument } from './messages.ts';
import { sloMetrics } from './report.ts';
import type { Watch } from './watch.ts';

interface Deps {
  readonly watch: Watch;
  readonly now: () => number;
}

const mostReasonLength = 500;

const names = allProcesses.map((entry) => entry.name);
const maxBodyBytes = 20_000;

const answer = (status: number, value: unknown) =>
  Response.json(value, { status, headers: { 'cache-control': 'no-store' } });

const whole = (most: number) =>
  z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(most, `must be at most ${most}`);

const alertsQuery = z.strictObject({ days: whole(90).default(7), limit: whole(500).default(100) });
const noQuery = z.strictObject({});

const maintenanceForm = z.discriminatedUnion(
  'do',
  [
    z.strictObject({
      do: z.literal('start'),
      processes: z.union(
        [z.literal('all'), z.array(z.enum(names, `must be one of ${names.join(', ')}`)).min(1)],
        `must be all, or a list of ${names.join(', ')}`,
      ),
      until: z.iso.datetime('must be a time such as 2027-01-31T12:00:00Z'),
      reason: z
        .string('must say why')
        .trim()
        .min(1, 'must say why')
        .max(mostReasonLength, `must be at most ${mostReasonLength} characters`),
    }),
    z.strictObject({ do: z.literal('end'), id: z.int('must be a whole number').min(1).optional() }),
  ],
  'must be start or end',
);

type Issues = readonly z.core.$ZodIssue[];
const complaint = (issues: Issues) =>
  issues
    .map((issue) => {
      const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
      const path = [...issue.path, ...unknown].join('.');
      const message = issue.code === 'unrecognized_keys' ? 'there is no such field here' : issue.message;
      return path === '' ? message : `${path}: ${message}`;
    })
    .join('; ');

/** A page that is read, with its query. */
function page<Query extends z.ZodType>(
  path: Route<Deps>['path'],
  query: Query,
  show: (query: z.output<Query>, deps: Deps) => unknown,
): Route<Deps> {
  return {
    path,
    access: 'token',
    handle(request, deps) {
      const parsed = query.safeParse(Object.fromEntries(new URL(request.url).searchParams));
      return parsed.success
        ? answer(200, show(parsed.data, deps))
        : answer(400, { error: complaint(parsed.error.issues) });
    },
  };
}

const iso = (ms: number) => new Date(ms).toISOString();

function windowDocument(window: MaintenanceWindow, nowMs: number) {
  const { id, processes, fromMs, toMs, reason, startedBy, recurring } = window;
  return {
    id,
    processes: processes ?? 'all',
    from: iso(fromMs),
    until: iso(toMs),
    isOpen: fromMs <= nowMs && nowMs < toMs,
    reason: plainText(reason, mostReasonLength),
    startedBy: recurring === null ? startedBy : null,
    recurring,
  };
}

const routes: readonly Route<Deps>[] = [
  page('/slo', noQuery, (_query, { watch, now }) => ({
    at: iso(now()),
    objectives: watch.reports(),
    troubles: watch.fileTroubles,
  })),
  page('/alerts', alertsQuery, ({ days, limit }, { watch, now }) => ({
    at: iso(now()),
    open: watch.alerts.open().map(alertDocument),
    resolved: watch.alerts.history(now() - days * dayMs, limit).map(alertDocument),
    webhooks: watch.webhooks.state(),
    isKept: watch.isKept,
    maintenance: watch.maintenance.at(now()).map((window) => windowDocument(window, now())),
  })),
  page('/maintenance', alertsQuery, ({ days, limit }, { watch, now }) => ({
    at: iso(now()),
    windows: watch.maintenance
      .history(now() - days * dayMs)
      .slice(0, limit)
      .map((window) => windowDocument(window, now())),
  })),
  {
    path: '/alerts/test',
    method: 'POST',
    access: 'admin',
    effect: 'write',
    async handle(_request, { watch }) {
      return answer(200, { webhooks: await watch.webhooks.test() });
    },
  },
  {
    path: '/maintenance',
    method: 'POST',
    access: 'admin',
    effect: 'write',
    async handle(request, deps, caller) {
      try {
        const parsed = maintenanceForm.safeParse(jsonIn(await bodyOf(request, maxBodyBytes)));
        if (!parsed.success) return answer(400, { error: complaint(parsed.error.issues) });
        return changeWindows(parsed.data, deps, caller);
      } catch (error) {
        if (error instanceof ToolError) return answer(413, { error: error.message });
        throw error;
      }
    },
  },
];

/** For a process that has these among its own. */
export const sloRoutes = <Own extends Deps>(): readonly Route<Own>[] => routes;

function changeWindows(
  form: z.output<typeof maintenanceForm>,
  { watch, now }: Deps,
  caller: string,
): Response {
  const nowMs = now();
  if (form.do === 'end') {
    const ended = watch.maintenance.end(form.id, nowMs);
    if (form.id !== undefined && ended.length === 0)
      return answer(404, { error: `No window ${form.id} is open.` });
    return answer(200, { ended: ended.map((window) => windowDocument(window, nowMs)), isKept: watch.isKept });
  }
  const toMs = Date.parse(form.until);
  if (toMs <= nowMs) return answer(400, { error: 'until: this time has passed already' });
  if (toMs > nowMs + longestWindowMs)
    return answer(400, { error: `until: a window lasts ${longestWindowMs / dayMs} days at most` });
  const processes = form.processes === 'all' ? null : [...new Set(form.processes)];
  const window = watch.maintenance.start({ processes, reason: form.reason, startedBy: caller, toMs }, nowMs);
  // It holds also while the disk takes nothing; whether it would outlive a restart is said.
  return answer(200, { started: windowDocument(window, nowMs), isKept: watch.isKept });
}

function jsonIn(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString());
  } catch {
    return undefined;
  }
}

/** Budgets, alerts, messages and windows, for Prometheus. */
export function watchMetrics({ watch, now }: Deps): string {
  const nowMs = now();
  const open = watch.alerts.open();
  const lines = watch.webhooks.state();
  const quiet = names.filter((name) => watch.maintenance.covers([name], nowMs));
  return [
    sloMetrics(watch.reports()),
    exposed(
      'gauge',
      'flotilla_alerts_open',
      'Alerts that are open.',
      ['page', 'ticket'].map(
        (severity) =>
          `{severity="${severity}"} ${open.filter((alert) => alert.severity === severity).length}`,
      ),
    ),
    exposed(
      'gauge',
      'flotilla_maintenance',
      '1 while a process is in a maintenance window.',
      quiet.map((name) => `{name="${name}"} 1`),
    ),
    exposed(
      'gauge',
      'flotilla_alert_messages_waiting',
      'Messages that a webhook has not taken yet.',
      lines.map(({ name, waiting }) => `{webhook="${name}"} ${waiting}`),
    ),
    exposed(
      'counter',
      'flotilla_alert_messages_delivered_total',
      'Messages that a webhook took.',
      lines.map(({ name, delivered }) => `{webhook="${name}"} ${delivered}`),
    ),
    exposed(
      'counter',
      'flotilla_alert_messages_dropped_total',
      'Messages that nobody took for a day, or for which there was no room.',
      lines.map(({ name, dropped }) => `{webhook="${name}"} ${dropped}`),
    ),
  ].join('');
}
