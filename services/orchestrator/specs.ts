/** Long lists of tasks, checked in turns: to check 5,000 at once would hold all other calls. */
import { z } from 'zod';

import { mended } from '#runtime/account/arguments.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Steps } from '#runtime/turns.ts';

import { taskField, type TaskSpec } from './fields.ts';
import { mostTasksPerCall } from './limits.ts';

const { $schema: _, ...schema } = z.toJSONSchema(taskField, { io: 'input' });
type Shape = Parameters<typeof mended>[1];

/** Told as what `specsOf` takes; here only its length is looked at. */
export const taskList = z.array(z.looseObject({}).meta(schema)).max(mostTasksPerCall);

const checkedAtOnce = 50;
const mostIssues = 5;

/** @throws ToolError invalid_input. */
export function* specsOf(tool: string, list: readonly unknown[]): Steps<readonly TaskSpec[]> {
  const specs: TaskSpec[] = [];
  const faults: string[] = [];
  for (const [place, given] of list.entries()) {
    if (place % checkedAtOnce === 0) yield;
    const parsed = taskField.safeParse(given);
    if (parsed.success) {
      specs.push(parsed.data);
      continue;
    }
    const meant = mended(given, schema as Shape);
    const again = meant === given ? parsed : taskField.safeParse(meant);
    if (again.success) specs.push(again.data);
    else
      for (const { path, message } of parsed.error.issues)
        faults.push(`${['tasks', place, ...path].join('.')}: ${message.slice(0, 300)}`);
    if (faults.length >= mostIssues) break;
  }
  if (faults.length > 0)
    throw new ToolError(
      'invalid_input',
      `Invalid arguments for ${tool}: ${faults.slice(0, mostIssues).join('; ')}.`,
      { hint: "See the tool's input schema for names, types and limits.", reason: 'tasks' },
    );
  return specs;
}

/** For steps that read nothing that could change between them. */
export const noState = <Value>(work: () => Value): Value => work();
