/** A few benches, each of which serves one case at a time: what it records is that case's. */
import type { Bench } from '../bench.js';

export class BenchPool {
  readonly #all: readonly Bench[];
  readonly #idle: Bench[];
  readonly #waiting: ((bench: Bench) => void)[] = [];

  private constructor(benches: readonly Bench[]) {
    this.#all = benches;
    this.#idle = [...benches];
  }

  static async open(size: number, open: () => Promise<Bench>): Promise<BenchPool> {
    return new BenchPool(await Promise.all(Array.from({ length: size }, open)));
  }

  get openFlows(): number {
    return this.#all.reduce((sum, bench) => sum + bench.openFlows, 0);
  }

  /** Runs `work` with a bench whose records are empty. */
  async use<T>(work: (bench: Bench) => Promise<T>): Promise<T> {
    const bench = this.#idle.pop() ?? (await new Promise<Bench>(resolve => this.#waiting.push(resolve)));
    bench.clear();
    try {
      return await work(bench);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(bench);
      else this.#idle.push(bench);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map(bench => bench[Symbol.asyncDispose]()));
  }
}
