/** Templates of projects: data files beside this one, read and checked once. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';

import { taskField, type TaskSpec } from './fields.ts';
import { planned } from './planning.ts';

const folder = join(import.meta.dirname, 'templates');

const templateSchema = z.strictObject({
  title: z.string(),
  description: z.string(),
  tasks: z.array(taskField).min(1),
});

export interface Template extends z.output<typeof templateSchema> {
  readonly name: string;
}

/** @throws Error that names the file, when it is not what create_tasks would take. */
export function templateOf(file: string, text: string): Template {
  try {
    const template = templateSchema.parse(JSON.parse(text));
    // Thrown for keys, dependencies and circles.
    Array.from(planned(template.tasks));
    return { name: file.replace(/\.json$/, ''), ...template };
  } catch (error) {
    throw new Error(`The template ${file} cannot be used: ${(error as Error).message}`, { cause: error });
  }
}

let read: ReadonlyMap<string, Template> | undefined;

export function templates(): ReadonlyMap<string, Template> {
  read ??= new Map(
    readdirSync(folder)
      .filter((file) => file.endsWith('.json'))
      .toSorted()
      .map((file) => templateOf(file, readFileSync(join(folder, file), 'utf8')))
      .map((template) => [template.name, template]),
  );
  return read;
}

export interface Brief {
  readonly name: string;
  readonly description?: string | undefined;
  readonly requirements: readonly string[];
  readonly tech_stack: Readonly<Record<string, string>>;
}

/** The template of a project that names none: what its technologies say. */
export const templateFor = ({ tech_stack: stack }: Pick<Brief, 'tech_stack'>): string =>
  'frontend' in stack && 'backend' in stack ? 'web_application' : 'generic';

/** The tasks of a template, with what it says about the project filled in. @throws ToolError not_found. */
export function tasksFrom(name: string, brief: Brief): readonly TaskSpec[] {
  const template = templates().get(name);
  if (!template)
    throw new ToolError('not_found', `There is no template "${name}".`, {
      hint: `There are ${[...templates().keys()].join(', ')}: list_project_templates.`,
    });
  const words: Readonly<Record<string, string>> = {
    name: brief.name,
    description: brief.description ?? 'No description was given.',
    requirements: brief.requirements.map((one) => `- ${one}`).join('\n') || 'None were given.',
    tech_stack:
      Object.entries(brief.tech_stack)
        .map(([part, made]) => `- ${part}: ${made}`)
        .join('\n') || 'Nothing was given.',
  };
  const filled = (text: string) =>
    text.replaceAll(/\{\{(\w+)\}\}/g, (place, word: string) => words[word] ?? place);
  return template.tasks.map((task) => ({
    ...task,
    title: filled(task.title).slice(0, mostTitle).toWellFormed(),
    ...(task.description !== undefined && { description: filled(task.description) }),
  }));
}

const mostTitle = 300;
