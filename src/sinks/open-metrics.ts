/** Metrics as the file says. */
import { GatewayError } from '../core/errors.js';
import { type MetricsServer, openMetrics } from './metrics-server.js';
import type { OpenOptions } from './open.js';
import { credential } from './open-webhook.js';
import type { MetricsInput } from './schema.js';
import { parseListen } from './values.js';

const SANDBOXES = 100;

export async function openMetricsOf(
  { listen, token_from, sandboxes = SANDBOXES }: MetricsInput,
  { env, version }: OpenOptions,
): Promise<MetricsServer> {
  const where = parseListen(listen);
  // The schema has read it before.
  if (!where.ok) throw new GatewayError('CONFIG_INVALID', where.error);
  const token = token_from === undefined ? null : await credential(token_from, env ?? {});
  return await openMetrics({ listen: where.value, token, sandboxes, version });
}
