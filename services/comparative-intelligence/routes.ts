/** The battles as a file, for whoever wants all of them at once: `GET /battles.csv` and `/battles.jsonl`. */
import { ToolError } from '#runtime/errors.ts';
import type { Route } from '#runtime/service.ts';
import { inTurns } from '#runtime/turns.ts';

import type { Comparing } from './comparing.ts';
import { exportPage, type ExportFormat } from './exchange/export.ts';
import { kinds } from './subject.ts';

const bytesPerPart = 64_000;

const exporting = (path: `/${string}`, format: ExportFormat, type: string): Route<Comparing> => ({
  path,
  access: 'token',
  handle(request, { store }, caller) {
    const { searchParams } = new URL(request.url);
    const kind = kinds.find((one) => one === (searchParams.get('kind') ?? 'model'));
    const unknown = [...searchParams.keys()].find((name) => name !== 'kind' && name !== 'task_type');
    if (!kind || unknown !== undefined) {
      return new Response('Options are kind (model or client) and task_type.\n', { status: 400 });
    }
    const taskType = searchParams.get('task_type') ?? undefined;
    try {
      store.reading.taskType(taskType);
    } catch (error) {
      if (error instanceof ToolError) return new Response(`${error.message}\n`, { status: 404 });
      throw error;
    }
    let after = 0;
    let state: number | undefined;
    let isOver = false;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (isOver) {
          controller.close();
          return;
        }
        const page = await inTurns(
          (read) => store.reading.atOnce(read),
          { signal: request.signal, caller, operation: `GET ${path}` },
          exportPage(store.reading, { format, kind, taskType, state, after, bytes: bytesPerPart }),
        );
        ({ last: after, state } = page);
        isOver = page.isLast;
        controller.enqueue(Buffer.from(page.content));
      },
    });
    return new Response(body, { headers: { 'content-type': type } });
  },
});

export const routes: readonly Route<Comparing>[] = [
  exporting('/battles.csv', 'battles_csv', 'text/csv; charset=utf-8'),
  exporting('/battles.jsonl', 'battles_jsonl', 'application/x-ndjson'),
];
