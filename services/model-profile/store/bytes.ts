/** Whole numbers as few bytes: seven bits in each, the last one without its high bit. */

export class Writer {
  #bytes = new Uint8Array(4_096);
  #length = 0;

  /** From 0 to 2^53 - 1. */
  whole(value: number): void {
    if (this.#length + 16 > this.#bytes.length) this.#grow();
    if (value < 0x80) {
      this.#bytes[this.#length] = value;
      this.#length += 1;
      return;
    }
    if (value < 2 ** 31) {
      this.#small(value);
      return;
    }
    // Arithmetic of whole 32-bit numbers is much faster than that of larger ones.
    let low = value % 2 ** 28;
    for (let byte = 0; byte < 4; byte += 1) {
      this.#bytes[this.#length] = (low & 0x7f) | 0x80;
      this.#length += 1;
      low >>>= 7;
    }
    this.#small(Math.floor(value / 2 ** 28));
  }

  /** Below 2^42, of which only what is far beyond all sums is above 2^31. */
  #small(value: number): void {
    let left = value;
    while (left >= 0x80) {
      this.#bytes[this.#length] = (left % 0x80) | 0x80;
      this.#length += 1;
      left = left < 2 ** 31 ? left >>> 7 : Math.floor(left / 0x80);
    }
    this.#bytes[this.#length] = left;
    this.#length += 1;
  }

  /** Counts of which many are 0: those that follow each other are told by how many they are. */
  counts(values: ArrayLike<number>, from: number, to: number): void {
    for (let at = from; at < to; at += 1) {
      const value = values[at] as number;
      this.whole(value);
      if (value > 0) continue;
      const start = at;
      while (at + 1 < to && values[at + 1] === 0) at += 1;
      this.whole(at - start);
    }
  }

  #grow(): void {
    const grown = new Uint8Array(this.#bytes.length * 2);
    grown.set(this.#bytes);
    this.#bytes = grown;
  }

  /** A copy of what was written; writing begins anew. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
    return taken;
  }
}

export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  whole(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 0x80) {
      const byte = this.#bytes[this.#at] as number;
      this.#at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }

  /** What `Writer.counts` wrote, into as many places. */
  counts(into: { [at: number]: number }, from: number, to: number): void {
    for (let at = from; at < to; at += 1) {
      const value = this.whole();
      into[at] = value;
      if (value === 0) at += this.whole();
    }
  }
}
