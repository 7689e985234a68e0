/** The log file of one process of a fleet in the foreground: lines appended, the file rotated. Under systemd the journal does this. */
import { createWriteStream, existsSync, mkdirSync, renameSync, statSync, type WriteStream } from 'node:fs';
import { dirname, join } from 'node:path';

const rotateAtBytes = 10 * 1024 * 1024;
const keptFiles = 3;

export const processLogFile = (dataRoot: string, name: string) => join(dataRoot, 'logs', `${name}.log`);

export class ProcessLog implements AsyncDisposable {
  readonly #file: string;
  #stream: WriteStream;
  #sizeBytes: number;

  constructor(file: string) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    this.#file = file;
    this.#sizeBytes = existsSync(file) ? statSync(file).size : 0;
    this.#stream = createWriteStream(file, { flags: 'a', mode: 0o600 });
  }

  append(line: string): void {
    const text = `${line}\n`;
    if (this.#sizeBytes + text.length > rotateAtBytes) this.#rotate();
    this.#sizeBytes += text.length;
    this.#stream.write(text);
  }

  #rotate(): void {
    this.#stream.end();
    for (let index = keptFiles - 1; index >= 1; index--) {
      const older = `${this.#file}.${index}`;
      if (existsSync(older)) renameSync(older, `${this.#file}.${index + 1}`);
    }
    renameSync(this.#file, `${this.#file}.1`);
    this.#stream = createWriteStream(this.#file, { flags: 'a', mode: 0o600 });
    this.#sizeBytes = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((done) => {
      this.#stream.end(done);
    });
  }
}
