/** The image that a sandbox names: brought from a registry where it is not here (shell: the store does the work). */
import { join } from 'node:path';
import { ImageStore, loginFor } from '../vm/images/index.js';
import type { Config } from '../vm/index.js';

/** Made on this machine; no registry has it. */
const DEFAULT_IMAGE = 'default';

export interface ImageWish {
  readonly homeDir: string;
  /** Where a name without a registry is looked for, the first one first; empty: the store's own. */
  readonly registries: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * The whole name under which the image is kept: a machine that boots it later asks no list of registries. Throws what
 * the registry says, or that there is no such image.
 */
export async function ensureImage({ image, localBundlePath }: Config, wish: ImageWish): Promise<string> {
  if (localBundlePath !== undefined || image === '' || image === DEFAULT_IMAGE) return image;
  const { homeDir, registries, env } = wish;
  const store = await ImageStore.open(join(homeDir, 'images'), registries.length > 0 ? { registries } : {});
  const found = await store.find(image);
  const held = found ?? (await store.pull(image, { login: registry => loginFor(registry, env) }));
  return held.name ?? image;
}
