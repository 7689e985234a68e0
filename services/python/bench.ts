import type { Workload } from '#runtime/workload.ts';

/** The handle of a session that is awake. */
type State = unknown;

/** Nothing but computing, for longer the larger `most` is. */
export const collatz = `
def collatz(most):
    longest = 0
    for start in range(1, most):
        steps, number = 0, start
        while number != 1:
            number = number // 2 if number % 2 == 0 else 3 * number + 1
            steps += 1
        longest = max(longest, steps)
    return longest`;

const computation = `${collatz}
collatz(3_000)`;

export const workload: Workload<State> = {
  isOwned: true,
  async seed({ call }) {
    const { session_id: session } = await call('create_python_session', {});
    const code = 'import json; open("data.json", "w").write(json.dumps(list(range(10_000)))); count = 0';
    await call('run_python_code', { python_code: code, session_id: session });
    return session;
  },
  calls: [
    {
      title: 'run_python_code, in a session',
      tool: 'run_python_code',
      kind: 'large',
      arguments: (_number, session) => ({ python_code: 'count += 1; count', session_id: session }),
    },
    {
      title: 'run_python_code, alone',
      tool: 'run_python_code',
      kind: 'large',
      arguments: (number) => ({ python_code: `${number} + 1` }),
    },
    {
      title: 'read_python_file',
      tool: 'read_python_file',
      kind: 'small-read',
      arguments: (number, session) => ({
        session_id: session,
        path: 'data.json',
        offset: number % 1_000,
        limit: 200,
      }),
    },
    {
      title: 'write_python_file',
      tool: 'write_python_file',
      kind: 'small-write',
      arguments: (number, session) => ({
        session_id: session,
        path: `in-${number % 20}.txt`,
        content: `row ${number}`,
      }),
    },
    {
      title: 'run_python_code, a computation',
      tool: 'run_python_code',
      kind: 'large',
      arguments: () => ({ python_code: computation }),
    },
  ],
  heavy: [
    { tool: 'run_python_code', arguments: () => ({ python_code: computation }) },
    { tool: 'run_python_code', arguments: () => ({ python_code: 'for i in range(100_000): print(i)' }) },
    { tool: 'list_python_packages', arguments: () => ({ limit: 1_000 }) },
  ],
};
