/** What health tells the dashboard: one document with all that a page shows. Both ends hold to it. */
import { z } from 'zod';

import { keepingSchema } from './probe.ts';

const share = z.number().min(0).max(1);
const instant = z.iso.datetime();
const count = z.number().min(0);
const duration = z.number().min(0).nullable();

/** Shares of polls that found a process up, oldest first; `null` where nobody polled. */
const stripSchema = z.array(share.nullable());

const figuresSchema = z.object({
  calls: count,
  errors: count,
  errorsByKind: z.record(z.string(), count),
  p50Ms: duration,
  p95Ms: duration,
  p99Ms: duration,
});

const lineSchema = z.object({
  time: z.string().nullable(),
  level: z.enum(['debug', 'info', 'warn', 'error']).nullable(),
  text: z.string(),
});
export type LogLine = z.output<typeof lineSchema>;

const toolSchema = figuresSchema.extend({
  name: z.string(),
  tool: z.string(),
  /** Text of all its answers together: four bytes are about one token. */
  answerBytes: count,
});

const processSchema = z.object({
  name: z.string(),
  status: z.enum(['up', 'degraded', 'down', 'absent', 'unknown']),
  /** Comes and goes again and again. */
  flapping: z.boolean().default(false),
  reason: z.string().nullable(),
  since: instant.nullable(),
  latencyMs: duration,
  uptime: z.object({ hour: share.nullable(), day: share.nullable(), quarter: share.nullable() }),
  kept: keepingSchema.optional(),
  version: z.string().nullable(),
  startedAt: instant.nullable(),
  memoryBytes: count.nullable(),
  restarts: z.object({ day: count, quarter: count }),
  refused: count,
  hour: figuresSchema,
  day: figuresSchema,
  dayStrip: stripSchema,
  quarterStrip: stripSchema,
  /** The last ones, of a process that is not up. */
  lines: z.array(lineSchema),
});

const incidentSchema = z.object({
  name: z.string(),
  at: instant,
  endedAt: instant.nullable(),
  to: z.string(),
  reason: z.string().nullable(),
});

const budgetSchema = z.object({
  title: z.string(),
  /** `null` for several together. */
  process: z.string().nullable(),
  /** What is counted: events that must go well. */
  events: z.string(),
  target: share,
  windowDays: z.number().positive(),
  /** How much of the window is known; the figures below are of this part. */
  known: share,
  /** Share of the events that went well; `null` without events. */
  good: share.nullable(),
  /** Share of the budget that is left: 1 when nothing went wrong, below 0 when it is overspent. */
  remaining: z.number().max(1).nullable(),
  /** How fast it was spent in the last hour: at 1 it is used up when the window ends. */
  burnRate: z.number().min(0).nullable(),
});

const alertSchema = z.object({
  kind: z.string(),
  severity: z.enum(['page', 'ticket']),
  /** A process, an objective, or what else it is about. */
  subject: z.string(),
  since: instant,
  what: z.string(),
  /** What is known of the processes behind it. */
  why: z.array(z.string()),
  /** Kept quiet by a maintenance window. */
  isQuiet: z.boolean(),
});

const backupSchema = z.object({
  lastSuccessAt: instant.nullish(),
  lastVerifiedAt: instant.nullable(),
  /** How old what would be restored is. */
  recoveryPointAgeMs: duration.optional(),
  /** How long the last proof took to restore everything. */
  restoreMs: duration.optional(),
  sizeBytes: count.optional(),
  failures: count.optional(),
  troubles: z.array(z.string()),
});

/** Of one process, for its own page: a cell for each stretch of time, oldest first; `null` where nobody looked. */
const detailSchema = z.object({
  name: z.string(),
  cellMs: z.number().positive(),
  /** When the last cell began. */
  lastCellAt: instant,
  calls: z.array(count.nullable()),
  errors: z.array(count.nullable()),
  p50Ms: z.array(duration),
  p95Ms: z.array(duration),
  p99Ms: z.array(duration),
  memoryBytes: z.array(count.nullable()),
  cpuShare: z.array(z.number().min(0).nullable()),
  lines: z.array(lineSchema),
  incidents: z.array(incidentSchema),
});

export const overviewSchema = z.object({
  at: instant,
  version: z.string(),
  polledAt: instant.nullable(),
  startedAt: instant,
  strips: z.object({
    dayCellMs: z.number(),
    dayFrom: instant,
    quarterCellMs: z.number(),
    quarterFrom: instant,
  }),
  processes: z.array(processSchema),
  tools: z.array(toolSchema),
  /** Calls of all services and their errors by stretches of the last day, oldest first. */
  traffic: z.object({
    hour: figuresSchema,
    cellMs: z.number(),
    calls: z.array(count.nullable()),
    errors: z.array(count.nullable()),
  }),
  incidents: z.array(incidentSchema),
  warnings: z.array(z.string()),
  backup: backupSchema.nullable(),
  budgets: z.array(budgetSchema).optional(),
  alerts: z.array(alertSchema).optional(),
  detail: detailSchema.optional(),
});

export type Overview = z.output<typeof overviewSchema>;
export type Observed = Overview['processes'][number];
export type Figures = z.output<typeof figuresSchema>;
export type Incident = z.output<typeof incidentSchema>;
export type Detail = z.output<typeof detailSchema>;
export type Budget = z.output<typeof budgetSchema>;
export type Alert = z.output<typeof alertSchema>;
