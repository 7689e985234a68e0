import type { Contract } from '#runtime/testing.ts';

import { maxCodeLength, maxWriteLength } from './limits.ts';

export const contract: Contract = {
  listTokens: 2_900,
  keep: (number) => ({ tool: 'create_python_session', args: { name: `Session ${number}` } }),
  async prepare({ foreign, call }) {
    const { session_id: session } = await call('create_python_session', { name: foreign });
    const inSession = { session_id: session };
    const code = `kept = "${foreign}"; print(kept); open("a.txt", "w").write(kept); kept`;
    await call('run_python_code', { python_code: code, ...inSession });
    return {
      run_python_code: {
        python_code: 'print(kept); kept',
        global_variables: { given: 1 },
        timeout_ms: 20_000,
        return_format: 'json',
        ...inSession,
      },
      create_python_session: { name: 'A name' },
      list_python_sessions: { limit: 5 },
      reset_python_session: { ...inSession, keep_files: false },
      close_python_session: inSession,
      interrupt_python: inSession,
      write_python_file: { ...inSession, path: 'b.txt', content: 'YQ==', encoding: 'base64' },
      read_python_file: { ...inSession, path: 'a.txt', offset: 0, limit: 100, encoding: 'text' },
      list_python_files: { ...inSession, limit: 5 },
      get_python_variables: { ...inSession, limit: 5 },
      list_python_packages: { limit: 5 },
    };
  },
  largest: (foreign) => ({
    run_python_code: {
      python_code: `${'#'.repeat(maxCodeLength - 100)}\nprint("x" * 10_000_000)\nlist(range(90_000))`,
      global_variables: { much: foreign.repeat(100_000) },
    },
    write_python_file: { session_id: `py_${'0'.repeat(24)}`, path: 'a', content: 'a'.repeat(maxWriteLength) },
  }),
};
