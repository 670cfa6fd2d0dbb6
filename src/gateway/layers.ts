/** The policy's layers, compiled or refused with every problem. Pure. */
import { compile } from '../policy/compile.js';
import type { Policy, PolicyDocument } from '../policy/policy.js';
import { configInvalid } from '../policy/problem.js';

export function compileLayers(layers: readonly PolicyDocument[], generation: number): Policy {
  const compiled = compile(layers, { generation });
  if (!compiled.ok) throw configInvalid(layers.map(layer => layer.source).join(' + '), compiled.error);
  return compiled.value;
}
