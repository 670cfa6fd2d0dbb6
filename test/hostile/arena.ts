/**
 * A gateway with two sandboxes in a process of its own, for tests of hostile load: whatever connects to one of its
 * ports on loopback is a flow of that sandbox to `allowed.test`. Run by `startArena`; ends with its standard input.
 *
 * As in the processes that serve sandboxes, the young generation is held before the gateway is loaded: held after it, it
 * has grown to what loading took.
 */
import { boundPauses } from '../../src/runtime/collector.js';

export type { ArenaOptions, ArenaPorts } from './arena-gateway.js';

boundPauses();
// Its bundle stands beside ours; in one bundle the packages that it uses would be loaded first.
await import(new URL('arena-gateway.mjs', import.meta.url).href);
