/** Lets readers wait until there is something new. Pure: nobody is called before the next turn. */

/** What a reader at the end of a file waits for. */
export interface News {
  /** Counts announcements: taken before a look, given to `next` after it, so that nothing falls between. */
  readonly count: number;
  /** True: look again; false: nothing more will come, or `signal` has fired. */
  next(seen: number, signal: AbortSignal | undefined): Promise<boolean>;
}

export class Wakes implements News {
  #waiting = new Set<(more: boolean) => void>();
  #ended = false;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  wake(): void {
    this.#count += 1;
    for (const settle of [...this.#waiting]) settle(true);
  }

  /** Nothing more will come. */
  end(): void {
    this.#ended = true;
    for (const settle of [...this.#waiting]) settle(false);
  }

  next(seen: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false);
    if (seen !== this.#count) return Promise.resolve(true);
    if (this.#ended) return Promise.resolve(false);
    return new Promise(resolve => {
      const settle = (more: boolean): void => {
        signal?.removeEventListener('abort', onAbort);
        this.#waiting.delete(settle);
        resolve(more);
      };
      const onAbort = (): void => settle(false);
      this.#waiting.add(settle);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}
