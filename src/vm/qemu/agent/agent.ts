/**
 * The guest's agent, as the gateway talks to it (shell: owns a stream and one timer).
 *
 * All channels share one stream; each holds back only itself.
 */
import type { Duplex } from 'node:stream';
import { GatewayError } from '../../../core/errors.js';
import { Channel, ChannelLost } from './channel.js';
import { emitFrame, emitList, FROM_GUEST, FrameReader, TO_GUEST } from './frames.js';

const GREETING = 'sallyport-agent 1';

/** As many as a machine's memory has room for; a caller that wants more waits for others to end. */
const MOST_CHANNELS = 4096;

export class Agent {
  /** Resolves when the guest is up; rejects when the link ends before that. */
  readonly ready: Promise<void>;
  readonly #link: Duplex;
  readonly #reader = new FrameReader();
  readonly #channels = new Map<number, Channel>();
  #next = 1;
  #ended: Error | null = null;
  #greeted: { resolve: () => void; reject: (error: Error) => void } = { resolve() {}, reject() {} };

  constructor(link: Duplex) {
    this.#link = link;
    this.ready = new Promise((resolve, reject) => {
      this.#greeted = { resolve, reject };
    });
    this.ready.catch(() => {});
    link.on('data', (bytes: Buffer) => this.#take(bytes));
    link.on('error', error => this.#end(error));
    link.on('close', () => this.#end(new ChannelLost('the machine has ended')));
  }

  /** Starts an operation of the agent. Throws `VM_UNREACHABLE` once the link has ended. */
  open(operation: string, fields: readonly (string | Uint8Array)[] = []): Channel {
    if (this.#ended !== null)
      throw new GatewayError('VM_UNREACHABLE', `the machine does not answer: ${this.#ended.message}`);
    if (this.#channels.size >= MOST_CHANNELS) {
      throw new GatewayError('LIMIT_EXCEEDED', `a machine runs ${MOST_CHANNELS} commands at a time at most`);
    }
    const id = this.#next;
    this.#next = (this.#next % 0xffff_fffe) + 1;
    const channel = new Channel(id, {
      send: frame => void this.#link.write(frame),
      release: released => void this.#channels.delete(released),
    });
    this.#channels.set(id, channel);
    this.#link.write(emitFrame(TO_GUEST.open, id, emitList([operation, ...fields])));
    return channel;
  }

  #take(bytes: Buffer): void {
    const read = this.#reader.push(bytes);
    if (!read.ok) {
      this.#end(new ChannelLost(`the guest's agent does not keep to its protocol (${read.error})`));
      this.#link.destroy();
      return;
    }
    for (const frame of read.value) {
      if (frame.type === FROM_GUEST.hello) this.#greet(frame.payload);
      else this.#channels.get(frame.channel)?.take(frame);
    }
  }

  #greet(payload: Buffer): void {
    if (payload.toString('latin1') === GREETING) this.#greeted.resolve();
    else this.#greeted.reject(new ChannelLost('the agent in the guest is of another version'));
  }

  #end(error: Error): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#greeted.reject(error);
    for (const channel of [...this.#channels.values()]) channel.lose(error);
  }
}
