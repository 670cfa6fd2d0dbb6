/** A machine whose commands are told as events. Pure but for the machine. */
import type { Clock } from '../core/clock.js';
import type { Emit } from '../events/event.js';
import { collect, type ExecExit, type ExecOptions, type Machine } from '../vm/index.js';

export interface Telling {
  readonly sandbox: string;
  readonly emit: Emit;
  readonly clock: Clock;
  /** The variables of a command as the sandbox may have them: placeholders where values were. */
  environment(env: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
}

/** `machine`, with every command as `exec.started` and `exec.done`; files are read and written in silence. */
export function toldMachine(machine: Machine, telling: Telling): Machine {
  const begin = (command: string, { args }: ExecOptions): ((exit: ExecExit) => void) => {
    const exec = {
      command: args === undefined ? [command] : [command, ...args],
      exit_code: null,
      duration_ms: 0,
    };
    const { sandbox, emit } = telling;
    emit({ type: 'exec.started', sandbox, exec });
    return ({ exitCode, durationMs }) =>
      emit({ type: 'exec.done', sandbox, exec: { ...exec, exit_code: exitCode, duration_ms: durationMs } });
  };
  const safe = <T extends ExecOptions>(options: T): T => {
    return options.env === undefined ? options : { ...options, env: telling.environment(options.env) };
  };
  const told: Pick<Machine, 'exec' | 'execStream' | 'execInteractive'> = {
    exec: async (command, options = {}) => await collect(await told.execStream(command, options), options),
    execStream: async (command, options = {}) => {
      const execution = await machine.execStream(command, safe(options));
      void execution.exit.then(begin(command, options));
      return execution;
    },
    execInteractive: async (command, options = {}) => {
      const execution = await machine.execInteractive(command, safe(options));
      void execution.exit.then(begin(command, options));
      return execution;
    },
  };
  return {
    ...told,
    imageConfig: machine.imageConfig,
    get limits() {
      return machine.limits;
    },
    get notes() {
      return machine.notes;
    },
    get forwards() {
      return machine.forwards;
    },
    get pid() {
      return machine.pid;
    },
    get rootfsPath() {
      return machine.rootfsPath;
    },
    start: signal => machine.start(signal),
    stop: options => machine.stop(options),
    wait: () => machine.wait(),
    writeFile: (path, content, options) => machine.writeFile(path, content, options),
    readFile: path => machine.readFile(path),
    readFileStream: path => machine.readFileStream(path),
    listFiles: path => machine.listFiles(path),
    searchFiles: (path, pattern) => machine.searchFiles(path, pattern),
    close: () => machine.close(),
    [Symbol.asyncDispose]: () => machine.close(),
  };
}
