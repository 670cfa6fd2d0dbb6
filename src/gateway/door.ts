/** A sandbox's door as the gateway hands it out: to a command of `run`, or to a machine. Pure: owns nothing. */

import type { SandboxId } from '../net/flow.js';
import type { Vestibule } from '../net/vestibule/index.js';
import type { Environment } from '../secrets/sources.js';
import type { CommandSpec, MachineDoor, RunningCommand, Trust } from '../vm/index.js';

/** The way to the network of one sandbox. Whatever comes through it is judged; closed, there is no network. */
export interface Door extends MachineDoor, AsyncDisposable {
  readonly id: SandboxId;
  readonly vestibule: Vestibule;
  /** `env` as the sandbox may have it: placeholders where values were. */
  environment(env: Environment): Record<string, string>;
  /** Why the gateway stopped it (`on_leak: block-and-stop`); null while it has not. */
  readonly stopped: string | null;
  /** Resolves when the door is closed, by whomever: what runs behind it is to be ended. */
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

/** A sandbox of its own behind the vestibule. */
export interface Sandbox extends AsyncDisposable {
  readonly id: SandboxId;
  run(spec: SandboxCommand): Promise<RunningCommand>;
  /** Why the gateway stopped it (`on_leak: block-and-stop`); null while it has not. */
  readonly stopped: string | null;
  close(): Promise<void>;
}

export type SandboxCommand = Omit<CommandSpec, 'env' | 'files'> & {
  /** What the command is to have of the caller's environment; secrets become placeholders. */
  readonly env: Environment;
};

export interface DoorParts {
  readonly id: SandboxId;
  readonly vestibule: Vestibule;
  readonly trust: Trust;
  readonly caPem: string;
  environment(env: Environment): Record<string, string>;
  stopped(): string | null;
  close(): Promise<void>;
}

export function doorOf(parts: DoorParts): Door {
  const { id, vestibule, trust, caPem, environment, close } = parts;
  return {
    id,
    vestibule,
    cell: vestibule.cell,
    tap: vestibule.tap,
    caPem,
    secretEnv: new Map(Object.entries(environment({}))),
    trustFiles: trust.files,
    trustEnv: trust.env,
    environment,
    get stopped() {
      return parts.stopped();
    },
    closed: vestibule.closed,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A door with commands behind it; `start` gets each with the environment that it may have. */
export function sandboxOf(door: Door, start: (spec: CommandSpec) => Promise<RunningCommand>): Sandbox {
  return {
    id: door.id,
    run: spec => {
      const env = new Map([...Object.entries(door.environment(spec.env)), ...door.trustEnv]);
      return start({ ...spec, env, files: door.trustFiles });
    },
    get stopped() {
      return door.stopped;
    },
    close: door.close,
    [Symbol.asyncDispose]: door.close,
  };
}
