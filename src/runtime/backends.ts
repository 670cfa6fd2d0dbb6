/** The backends by name: a new kind of machine is one more line here. */
import { type Backend, ErrInvalidConfig, processBackend, qemuBackend } from '../vm/index.js';

const ALL: readonly Backend[] = [processBackend, qemuBackend];
const BACKENDS: ReadonlyMap<string, Backend> = new Map(ALL.map(backend => [backend.name, backend]));

export const BACKEND_NAMES: readonly string[] = [...BACKENDS.keys()];
export const DEFAULT_BACKEND = 'process';

/** Throws `VM_CONFIG_INVALID`. */
export function backendOf(name: string): Backend {
  const backend = BACKENDS.get(name);
  if (backend !== undefined) return backend;
  throw new ErrInvalidConfig(`there is no backend '${name}'; there are ${BACKEND_NAMES.join(', ')}`);
}
