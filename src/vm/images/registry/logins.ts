/**
 * Names and passwords for registries, where `docker login` keeps them (shell: reads `config.json`).
 *
 * Programs that keep them elsewhere (`credHelpers`, `credsStore`) are not asked.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { errorCode, GatewayError } from '../../../core/errors.js';
import type { Credentials } from './client.js';

const configSchema = z.object({
  auths: z.record(z.string(), z.object({ auth: z.string().optional() })).optional(),
});

/** The entry that `docker login` without an argument writes. */
const ALIASES: ReadonlyMap<string, string> = new Map([['docker.io', 'https://index.docker.io/v1/']]);

/** Reads `$DOCKER_CONFIG/config.json`, or the one in `~/.docker`; null where neither names `registry`. */
export async function loginFor(
  registry: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Credentials | null> {
  const path = join(env.DOCKER_CONFIG ?? join(env.HOME ?? '/', '.docker'), 'config.json');
  const text = await readFile(path, 'utf8').catch(error => {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error))) return null;
    throw error;
  });
  if (text === null) return null;
  const parsed = configSchema.safeParse(jsonOf(text));
  // What is in it is secret: the parser's words could quote it.
  if (!parsed.success) throw new GatewayError('CONFIG_INVALID', `${path} is not what docker login writes`);
  const auths = new Map(Object.entries(parsed.data.auths ?? {}));
  const names = [registry, ALIASES.get(registry) ?? registry, `https://${registry}`];
  const auth = names.map(name => auths.get(name)?.auth).find(found => found !== undefined);
  if (auth === undefined) return null;
  const [, username = '', password = ''] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(auth, 'base64').toString('utf8')) ?? [];
  return username === '' ? null : { username, password };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // said by the caller, without the parser's words
  }
}
