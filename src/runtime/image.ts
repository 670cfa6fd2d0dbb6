/** The image that a sandbox names: brought from a registry where it is not here (shell: the store does the work). */
import { join } from 'node:path';
import { GatewayError } from '../core/errors.js';
import { ImageStore, loginFor, type PullProgress } from '../vm/images/index.js';
import { type Config, DEFAULT_IMAGE } from '../vm/index.js';

export interface ImageWish {
  readonly homeDir: string;
  /** Where a name without a registry is looked for, the first one first; null: the store's own; empty: nobody is asked. */
  readonly registries: readonly string[] | null;
  /** What `docker login` is found by. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onProgress?: (progress: PullProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The whole name under which the image is kept: a machine that boots it later asks no list of registries. Throws what
 * the registry says, or that there is no such image.
 */
export async function ensureImage(
  { image, localBundlePath }: Pick<Config, 'image' | 'localBundlePath'>,
  wish: ImageWish,
): Promise<string> {
  if (localBundlePath !== undefined || image === '' || image === DEFAULT_IMAGE) return image;
  const { homeDir, registries, env, onProgress, signal } = wish;
  const store = await ImageStore.open(join(homeDir, 'images'), registries === null ? {} : { registries });
  const held = await store.find(image);
  if (held !== null) return held.name ?? image;
  if (registries?.length === 0) {
    throw new GatewayError(
      'IMAGE_NOT_FOUND',
      `there is no image ${image} here, and no registry may be asked for it: name one (--registry HOST without --pull never; imageRegistries of a runtime), or bring it by \`sallyport image pull\` or \`image import\``,
    );
  }
  const login = (registry: string) => loginFor(registry, env);
  const pulled = await store.pull(image, { login, signal, ...(onProgress && { onProgress }) });
  return pulled.name ?? image;
}
