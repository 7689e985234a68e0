import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { adding, completing, reading, replacing } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool, type Call } from '#runtime/tool.ts';
import { inTurns } from '#runtime/turns.ts';

import {
  detailedProjectOut,
  idempotencyField,
  ifVersionField,
  plannedTaskOut,
  projectIdField,
  projectRow,
  projectShape,
  statusField,
  taskRow,
} from '../fields.ts';
import { loadCounts } from '../ledger/change.ts';
import { projectOf } from '../ledger/creating.ts';
import {
  cancelProject as cancelInLedger,
  deleteProject as deleteInLedger,
  editProject,
} from '../ledger/editing.ts';
import {
  detailedProjectView,
  projectsBefore,
  projectView,
  seqOf,
  tasksAfter,
  taskView,
} from '../ledger/reading.ts';
import { make, repeatable } from '../making.ts';
import type { Orchestrator } from '../orchestrator.ts';
import { planned } from '../planning.ts';
import { noState, specsOf, taskList } from '../specs.ts';
import { tasksFrom, templateFor, templates, type Brief } from '../templates.ts';

const templateField = z
  .string()
  .max(100)
  .optional()
  .describe(
    'Begin with the tasks of this template: list_project_templates. Without it and without tasks, one is chosen.',
  );

const newProject = {
  ...projectShape,
  template: templateField,
  tasks: taskList
    .optional()
    .describe('Tasks of your own; they may depend on keys of the template. An empty list makes none.'),
};

interface Wanted extends Brief {
  readonly template?: string | undefined;
  readonly tasks?: readonly unknown[] | undefined;
}

/** The tasks of a new project, and the template that they are from. */
function* planOf(tool: string, wanted: Wanted) {
  const template = wanted.template ?? (wanted.tasks === undefined ? templateFor(wanted) : undefined);
  const own = yield* specsOf(tool, wanted.tasks ?? []);
  const specs = [...(template === undefined ? [] : tasksFrom(template, wanted)), ...own];
  return { template, tasks: yield* planned(specs) };
}

const editorOf = ({ caller, isOperator }: Call) => ({ caller, isOperator });

const shownTasks = 100;

export const createProject = defineTool({
  name: 'create_project',
  title: 'Create Project',
  description:
    'Begin a project: a set of tasks with dependencies, made from a template, from tasks of your own, or both. Workers claim them as they become free. plan_project shows them first.',
  effect: 'write',
  hints: adding,
  untrusted: 'bounded',
  timeoutMs: 60_000,
  input: z.object({ ...newProject, idempotency_key: idempotencyField }),
  output: z.object({
    project: projectRow,
    tasks: z.array(taskRow).describe('The first 100.'),
    created: z.int().describe('How many tasks were made.'),
  }),

  async handler({ idempotency_key: key, ...args }, { desk }: Orchestrator, call) {
    const { template, tasks } = await inTurns(noState, call, planOf('create_project', args));
    const again = repeatable('create_project', key, args, call.caller);
    const { projectId, made } = await make(desk, { project: { ...args, template } }, tasks, again, call);
    return desk.look(function* (view) {
      const project = yield* projectOf(projectId ?? '');
      const rows = [];
      for (const task of yield* tasksAfter({ project: project.seq }, 0, shownTasks))
        rows.push(yield* taskView(view, task));
      return {
        project: projectView(project, yield* loadCounts(project.seq)),
        tasks: fitting(rows),
        created: made.length,
      };
    });
  },
});

export const planProject = defineTool({
  name: 'plan_project',
  title: 'Plan Project',
  description: 'See the tasks that create_project would make of the same arguments. Nothing is made.',
  effect: 'read',
  hints: reading,
  input: z.object(newProject),
  output: z.object({
    template: z.string().nullable().describe('The template that is used.'),
    tasks: z.array(plannedTaskOut).describe('The first of them, as many as an answer holds.'),
    total: z.int().describe('How many there would be.'),
  }),

  async handler(args, _orchestrator: Orchestrator, call) {
    const { template = null, tasks } = await inTurns(noState, call, planOf('plan_project', args));
    const rows = tasks.slice(0, shownTasks).map(({ spec, requires }) => ({
      ...(spec.key !== undefined && { key: spec.key }),
      title: spec.title,
      type: spec.type,
      priority: spec.priority ?? args.priority,
      requires: [...requires],
      depends_on: [...new Set(spec.depends_on)],
      ...(spec.description !== undefined && { description: spec.description }),
    }));
    return { template, tasks: fitting(rows), total: tasks.length };
  },
});

export const getProject = defineTool({
  name: 'get_project',
  title: 'Get Project',
  description: 'See how a project stands: percent, tasks by status, who needs whom, and the newest results.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ project_id: projectIdField.describe('Which.') }),
  output: z.object({ project: detailedProjectOut.describe('All of it.') }),

  async handler({ project_id: id }, { desk }: Orchestrator) {
    return desk.look(function* (view) {
      const project = yield* detailedProjectView(view, yield* projectOf(id));
      return { project: { ...project, tasks: fitting(project.tasks) } };
    });
  },
});

export const listProjects = defineTool({
  name: 'list_projects',
  title: 'List Projects',
  description: 'See all projects with how far each is, the newest first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    status: statusField.optional().describe('Only these.'),
    limit: limitField(200, 50),
    cursor: cursorField,
  }),
  output: z.object({ projects: z.array(projectRow).describe('The newest first.'), ...continuation }),

  async handler({ cursor, ...args }, { desk }: Orchestrator) {
    const start = [Number.MAX_SAFE_INTEGER] as const;
    const [before] = decodeCursor<readonly [number]>(
      'list_projects',
      args,
      cursor,
      z.tuple([z.int()]),
      start,
    );
    const found = await desk.look(() => projectsBefore(args.status, before, args.limit + 1));
    const rows = fitting(found.slice(0, args.limit));
    const last = rows.length < found.length ? rows.at(-1) : undefined;
    return { projects: rows, ...continued('list_projects', args, last && [seqOf(last.project_id)]) };
  },
});

export const updateProject = defineTool({
  name: 'update_project',
  title: 'Update Project',
  description:
    'Change what a project of yours says of itself, and what its next tasks take from it. Its tasks stay as they are.',
  effect: 'write',
  hints: completing,
  untrusted: 'bounded',
  input: z.object({
    project_id: projectIdField.describe('Which.'),
    if_version: ifVersionField,
    name: projectShape.name.optional(),
    description: projectShape.description,
    requirements: projectShape.requirements.unwrap().optional().describe('All that it has to fulfil.'),
    tech_stack: projectShape.tech_stack.unwrap().optional().describe('All that it is made with.'),
    priority: projectShape.priority.unwrap().optional().describe('Of its next tasks.'),
    on_failure: projectShape.on_failure.unwrap().optional().describe('Of its next tasks.'),
  }),
  output: z.object({ project: projectRow }),

  async handler({ project_id: id, if_version: version, ...edit }, { desk }: Orchestrator, call) {
    return desk.change(function* (change) {
      const project = yield* editProject(change, id, edit, editorOf(call), version);
      return { project: projectView(project, yield* loadCounts(project.seq)) };
    });
  },
});

export const cancelProject = defineTool({
  name: 'cancel_project',
  title: 'Cancel Project',
  description: 'End a project of yours: all of its open tasks are cancelled, also those at work.',
  effect: 'destroy',
  hints: replacing,
  untrusted: 'bounded',
  input: z.object({ project_id: projectIdField.describe('Which.') }),
  output: z.object({ project: projectRow }),

  async handler({ project_id: id }, { desk, tending }: Orchestrator, call) {
    await desk.change((change) => cancelInLedger(change, id, editorOf(call)));
    await tending.finishChores();
    return desk.look(function* () {
      const project = yield* projectOf(id);
      return { project: projectView(project, yield* loadCounts(project.seq)) };
    });
  },
});

export const deleteProject = defineTool({
  name: 'delete_project',
  title: 'Delete Project',
  description: 'Let go of a project of yours whose tasks have all ended, with its tasks, results and events.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ project_id: projectIdField.describe('Which.') }),
  output: z.object({ deleted: z.string().describe('Its id.') }),

  async handler({ project_id: id }, { desk, tending }: Orchestrator, call) {
    await desk.change((change) => deleteInLedger(change, id, editorOf(call)));
    await tending.finishChores();
    return { deleted: id };
  },
});

export const listProjectTemplates = defineTool({
  name: 'list_project_templates',
  title: 'List Project Templates',
  description: 'See the templates that create_project can begin with.',
  effect: 'read',
  hints: reading,
  input: z.object({}),
  output: z.object({
    templates: z
      .array(
        z.object({
          name: z.string().describe('For create_project.'),
          title: z.string().describe('What it is for.'),
          description: z.string().describe('What it makes.'),
          tasks: z
            .array(
              z.object({
                key: z.string().describe('For depends_on.'),
                title: z.string().describe('With places to fill in.'),
                type: z.string().describe('Its type.'),
                depends_on: z.array(z.string()).describe('Keys.'),
              }),
            )
            .describe('What it begins with.'),
        }),
      )
      .describe('All.'),
  }),

  handler: () => ({
    templates: [...templates().values()].map(({ name, title, description, tasks }) => ({
      name,
      title,
      description,
      tasks: tasks.map(({ key = '', title: what, type, depends_on: needs }) => ({
        key,
        title: what,
        type,
        depends_on: needs,
      })),
    })),
  }),
});

export const projectTools = [
  createProject,
  planProject,
  getProject,
  listProjects,
  updateProject,
  cancelProject,
  deleteProject,
  listProjectTemplates,
];
