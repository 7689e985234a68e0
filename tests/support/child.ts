/** Another process, for what only a second one can show. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const home = fileURLToPath(new URL('../../', import.meta.url));

export interface Child extends AsyncDisposable {
  readonly process: ChildProcess;
  /** Resolves with the next line that the child prints. */
  line(): Promise<string>;
  exited(): Promise<number | null>;
  kill(): Promise<void>;
}

/** Runs the code as a module, which may import `#runtime/...`; the arguments are its `process.argv[1]` and on. */
export function runModule(
  code: string,
  args: string | readonly string[],
  flags: readonly string[] = [],
): Child {
  const given = typeof args === 'string' ? [args] : args;
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', code, ...given], {
    cwd: home,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit');
  const lines = linesOf(child);
  const kill = async () => {
    child.kill('SIGKILL');
    await exit;
  };
  return {
    process: child,
    line: async () => ((await lines.next()) as IteratorYieldResult<string>).value,
    exited: async () => (await exit)[0] as number | null,
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

async function* linesOf(child: ChildProcess): AsyncGenerator<string> {
  let buffered = '';
  for await (const chunk of child.stdout ?? []) {
    buffered += String(chunk);
    const lines = buffered.split('\n');
    buffered = lines.pop() ?? '';
    yield* lines;
  }
}
