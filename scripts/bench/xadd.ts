/** What Redis alone does: entries added to a stream over one connection, each batch waiting for its answers. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';

/** @returns entries per second. @throws Error when Redis refuses one. */
export async function xaddsPerSecond(
  port: number,
  entries: number,
  perBatch: number,
  text: string,
): Promise<number> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const command = ['XADD', 'bench', '*', 'body', text];
  const words = command.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('');
  const batch = `*${command.length}\r\n${words}`.repeat(perBatch);
  const startedAtMs = performance.now();
  try {
    for (let done = 0; done < entries; done += perBatch) {
      socket.write(batch);
      // Each answer is the id of the entry, as a text with its length in front.
      for (let answers = 0; answers < perBatch;) {
        const [chunk] = (await once(socket, 'data')) as [Buffer];
        const said = chunk.toString('latin1');
        if (said.startsWith('-')) throw new Error(`Redis: ${said.trim()}`);
        answers += said.split('$').length - 1;
      }
    }
    return (entries * 1_000) / (performance.now() - startedAtMs);
  } finally {
    socket.destroy();
  }
}
