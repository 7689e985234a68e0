/** A task as the orchestrator hands it out: what is read of it. */
import { z } from 'zod';

export const taskSchema = z.object({
  task_id: z.string(),
  project_id: z.string().nullable(),
  key: z.string().optional(),
  title: z.string(),
  type: z.string(),
  owner: z.string(),
  lease: z.object({ fence: z.number(), until: z.string() }),
  created_at: z.string().optional(),
  updated_at: z.string(),
  depends_on: z.array(z.string()).default([]),
  description: z.string().optional(),
  goal: z.string().optional(),
  steps: z.array(z.unknown()).optional(),
  answers: z
    .array(z.object({ answer: z.string(), answered_by: z.string(), answered_at: z.string().default('') }))
    .default([]),
  /** What onRepository reads. */
  repository: z.unknown().optional(),
  git: z.unknown().optional(),
  work_bytes: z.number().optional(),
});
export type Task = z.output<typeof taskSchema>;
