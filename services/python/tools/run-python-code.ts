import { z } from 'zod';

import { reshaping } from '#runtime/hints.ts';
import { defineTool, Reply } from '#runtime/tool.ts';

import { asJson, asXml, resultOf } from '../answer.ts';
import { sessionId } from '../fields.ts';
import { notesOf } from '../notes.ts';
import { afterTimeoutMs, defaultTimeoutMs, maxCodeLength, maxTimeoutMs } from '../limits.ts';
import type { Python } from '../python.ts';

const usage = z
  .object({
    cpu_seconds: z.number().describe('Of processor time.'),
    memory_bytes: z.int().describe('At most at once.'),
    processes: z.int().describe('At most at once.'),
    output_bytes: z.int().describe('Printed.'),
    disk_bytes: z.int().describe('In its folder.'),
  })
  .describe('What the run took.');

export const runPythonCode = defineTool({
  name: 'run_python_code',
  title: 'Run Python code',
  description: `Tool to execute Python code and return stdout, stderr, and return value.

The code may be async, and the value on the last line will be returned as the return value.

It runs in a sandbox on this host: no network, no files of the host, limits of time and memory. Without session_id nothing is kept. With it (create_python_session), variables and files of earlier runs are there. Figures of matplotlib come back as images. A list of the packages: list_python_packages.`,
  effect: 'write',
  hints: reshaping,
  untrusted: 'as-is',
  task: 'optional',
  timeoutMs: maxTimeoutMs + afterTimeoutMs,
  input: z.object({
    python_code: z
      .string()
      .max(maxCodeLength)
      .refine((code) => code.isWellFormed(), 'must be well-formed Unicode')
      .describe('Python code to run'),
    global_variables: z
      .record(z.string(), z.unknown())
      .default({})
      .describe('Map of global variables in context when the code is executed'),
    session_id: sessionId.optional().describe('Run it in this session; alone unless given.'),
    timeout_ms: z
      .int()
      .min(100)
      .max(maxTimeoutMs)
      .default(defaultTimeoutMs)
      .describe('The run is interrupted after this time.'),
    return_format: z.enum(['xml', 'json']).default('xml').describe('Form of the text.'),
  }),
  output: z.object({
    status: z
      .enum(['success', 'run-error'])
      .describe('run-error: it raised, was stopped, or ended its interpreter.'),
    output: z.array(z.string()).describe('Lines of stdout and stderr.'),
    return_value: z.string().optional().describe('Value of the last expression, as JSON.'),
    error: z.string().optional().describe('Traceback, or what stopped it.'),
    truncated: z.literal(true).optional().describe('Output or value are cut.'),
    images: z.int().optional().describe('Images that follow the text.'),
    session_id: z.string().optional().describe('The session it ran in.'),
    restarted: z
      .literal(true)
      .optional()
      .describe('The session had to begin anew: its files are there, its variables are not.'),
    changed_files: z.array(z.string()).optional().describe('Written by the run, and kept; the first 100.'),
    removed_files: z.array(z.string()).optional().describe('No longer there; the first 100.'),
    not_kept: z.array(z.string()).optional().describe('Files that cannot be kept, such as links, and why.'),
    notes: z.array(z.string()).optional().describe('What was left or lost, and how to go on.'),
    limits: z.array(z.string()).optional().describe('Limits that were passed.'),
    usage,
  }),

  async handler(args, python: Python, call) {
    const { python_code: code, global_variables: globals, timeout_ms: timeoutMs } = args;
    const session = args.session_id === undefined ? undefined : python.store.get(args.session_id, call);
    const work = { code, globals, timeoutMs };
    const done = await (session ? python.runIn(session, work, call) : python.runAlone(work, call));
    const result = resultOf(done, timeoutMs);
    const notKept = [...done.notKept, ...(done.whyNotKept === undefined ? [] : [done.whyNotKept])];
    const { usage: used } = result;
    const { level } = python.choices;
    const notes = some(notesOf(done, { code, level, isSession: session !== undefined }));
    const value = {
      status: result.status,
      output: [...result.output],
      return_value: result.json,
      error: result.error,
      truncated: result.isCut ? (true as const) : undefined,
      images: done.images.length > 0 ? done.images.length : undefined,
      session_id: session?.handle,
      restarted: done.isAnew ? (true as const) : undefined,
      changed_files: some(done.changed),
      removed_files: some(done.removed),
      not_kept: some(notKept),
      notes,
      limits: some(result.limits),
      usage: {
        cpu_seconds: Math.round(used.cpuSeconds * 100) / 100,
        memory_bytes: used.memoryBytes,
        processes: used.processes,
        output_bytes: used.outputBytes,
        disk_bytes: used.diskBytes,
      },
    };
    const text = args.return_format === 'json' ? asJson(result) : asXml(result);
    const images = done.images.map((image) => ({
      type: 'image',
      mimeType: 'image/png',
      data: image.toString('base64'),
    }));
    const more = notes ? [{ type: 'text', text: notes.join('\n') }] : [];
    return new Reply(withoutUnset(value), { content: [{ type: 'text', text }, ...images, ...more] });
  },
});

const shownNames = 100;

const some = <Value>(values: readonly Value[]) =>
  values.length > 0 ? values.slice(0, shownNames) : undefined;

function withoutUnset<Value extends object>(value: Value): Value {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as Value;
}
