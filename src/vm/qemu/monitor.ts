/**
 * QEMU's monitor: one command after the other, in JSON (QMP).
 *
 * Pure of I/O: the stream is the caller's. QEMU itself may have been taken over by its guest: a line that is too long or
 * no JSON ends the monitor, and what it says is never more than a word to look up.
 */
import type { Duplex } from 'node:stream';

const MOST_LINE = 64 * 1024;

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class Monitor {
  readonly #stream: Duplex;
  readonly #pending: Pending[] = [];
  #text = '';
  #ended = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.setEncoding('latin1');
    stream.on('data', (text: string) => this.#take(text));
    stream.on('error', () => this.#end());
    stream.on('close', () => this.#end());
    // Refused before this: QEMU wants it to be the first.
    this.execute('qmp_capabilities').catch(() => {});
  }

  /** Rejects when QEMU refuses, and when it has ended. */
  execute(command: string): Promise<unknown> {
    if (this.#ended) return Promise.reject(new Error('the monitor has ended'));
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject });
      this.#stream.write(`${JSON.stringify({ execute: command })}\n`);
    });
  }

  #take(text: string): void {
    this.#text += text;
    for (let at = this.#text.indexOf('\n'); at >= 0; at = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, at);
      this.#text = this.#text.slice(at + 1);
      this.#answer(line);
    }
    if (this.#text.length > MOST_LINE) this.#stream.destroy();
  }

  #answer(line: string): void {
    const message = parseObject(line);
    if (message === null) return void this.#stream.destroy();
    if ('return' in message) this.#pending.shift()?.resolve(message.return);
    else if ('error' in message) this.#pending.shift()?.reject(new Error('the monitor refused the command'));
  }

  #end(): void {
    this.#ended = true;
    for (const { reject } of this.#pending.splice(0)) reject(new Error('the monitor has ended'));
  }
}

function parseObject(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null; // no JSON: not a monitor that we know
  }
}
