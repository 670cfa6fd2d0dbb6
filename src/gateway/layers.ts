/** The policy's layers, compiled or refused with every problem. Pure. */
import type { Sink } from '../events/feeder.js';
import { compile } from '../policy/compile.js';
import type { Policy, PolicyDocument } from '../policy/policy.js';
import { configInvalid } from '../policy/problem.js';

/** Where one of `sinks` listens on this host, no sandbox gets, whatever the layers say. */
export function compileLayers(
  layers: readonly PolicyDocument[],
  generation: number,
  sinks: readonly Sink[] = [],
): Policy {
  const gatewayEndpoints = sinks.flatMap(sink => sink.listensOn ?? []);
  const compiled = compile(layers, { generation, gatewayEndpoints });
  if (!compiled.ok) throw configInvalid(layers.map(layer => layer.source).join(' + '), compiled.error);
  return compiled.value;
}
