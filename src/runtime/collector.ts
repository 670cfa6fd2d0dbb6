/** How the engine collects garbage (shell: its flags). */
import v8 from 'node:v8';

/**
 * Keeps the pauses short that stop all sandboxes at once. For processes that are ours alone: the engine has one set of such
 * flags for everything in a process.
 *
 * The young generation stays as large as it has become: let grow, it takes 20 MiB more of a gateway with a thousand
 * connections. One thread collects it: what survives is a tenth of a MiB and takes less than others take to wake, and where
 * a sandbox keeps the processors busy, a thread that was woken and not run was waited for, ten milliseconds and more.
 */
export function boundPauses(): void {
  v8.setFlagsFromString('--semi-space-growth-factor=1');
  v8.setFlagsFromString('--no-parallel-scavenge');
}
