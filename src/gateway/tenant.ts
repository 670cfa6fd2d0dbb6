/** What the gateway holds of one sandbox (shell: one timer). */
import type { Emit } from '../events/event.js';
import type { SandboxId } from '../net/flow.js';
import type { Vestibule } from '../net/vestibule/index.js';
import type { Policy } from '../policy/policy.js';
import { Canceller } from '../proxy/cancel.js';
import type { Gate } from '../proxy/context.js';
import type { Limits } from '../proxy/limits/limits.js';
import type { RefusedPackets } from '../proxy/refused-packets.js';
import { Standing } from '../proxy/standing.js';
import type { SandboxScript } from '../script/sandbox-script.js';
import type { SandboxSecrets } from '../secrets/store.js';
import type { RunningCommand } from '../vm/index.js';
import { Annotator, type AnnotatorOptions } from './annotator.js';

/** How often the kernel's counters are read, at some ten milliseconds of a child process each. */
const REFUSALS_MS = 5_000;

export class Tenant {
  readonly id: SandboxId;
  readonly closing = new Canceller();
  readonly standing = new Standing(this.closing);
  readonly limits: Limits;
  /** Running in the sandbox; nothing of them outlives it. */
  readonly commands = new Set<RunningCommand>();
  script: SandboxScript | null = null;
  secrets: SandboxSecrets;
  vestibule: Vestibule | null = null;
  /** Why it is being ended by the gateway. */
  stopped: string | null = null;
  #gate: Gate | null = null;
  #annotator: Annotator | null = null;
  #packets: RefusedPackets | null = null;
  #listing: NodeJS.Timeout | null = null;

  constructor(id: SandboxId, secrets: SandboxSecrets, limits: Limits) {
    this.id = id;
    this.secrets = secrets;
    this.limits = limits;
  }

  /** `policy` is in force, and what is open must hold before it. */
  reloaded(policy: Policy): void {
    this.limits.change(policy.limits);
    this.standing.reconsider(policy);
  }

  /** What its traffic is judged by now: the same object until one part of it is another. */
  gate(policy: Policy, unavailable: ReadonlyMap<string, string>): Gate {
    const known = this.#gate;
    if (known?.policy === policy && known.secrets === this.secrets && known.unavailable === unavailable)
      return known;
    this.#gate = { policy, secrets: this.secrets, unavailable };
    return this.#gate;
  }

  settle(vestibule: Vestibule, packets: RefusedPackets): void {
    this.vestibule = vestibule;
    this.#packets = packets;
    this.#listing = setInterval(() => void this.noteRefusals(), REFUSALS_MS).unref();
    const stop = (): void => clearInterval(this.#listing ?? undefined);
    this.closing.addEventListener('abort', stop, { once: true });
  }

  /** What the sandbox's rooms emit to, so that its script can write beside it. */
  annotate(events: Omit<AnnotatorOptions, 'script'>): Emit {
    this.#annotator = new Annotator({ ...events, script: () => this.script?.hooks ?? null });
    return this.#annotator.emit;
  }

  /** Once what waits for it is out; events that come later go out as they are. */
  async endScript(): Promise<void> {
    await this.#annotator?.drain();
    this.script?.close();
    this.script = null;
  }

  async endCommands(): Promise<void> {
    const running = [...this.commands];
    for (const command of running) command.kill('SIGKILL');
    await Promise.all(running.map(({ exit }) => exit));
  }

  /** Puts on record what the kernel refused since the last call. */
  async noteRefusals(): Promise<void> {
    try {
      this.#packets?.note((await this.vestibule?.refusals()) ?? []);
    } catch {
      // The namespace has ended before us, and its counters with it: nothing can be asked any more.
    }
  }
}
