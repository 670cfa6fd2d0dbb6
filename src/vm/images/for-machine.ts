/** The image of a machine: found or taken, and kept for as long as the machine's own folder is there. */
import { join } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import type { ImageConfig } from '../config.js';
import { ImageStore, type LowerImage, type StoredImage } from './store.js';

export interface MachineImageSpec {
  readonly homeDir: string;
  readonly stateDir: string;
  readonly image: string;
  readonly localBundlePath?: string;
}

export interface MachineImage {
  readonly lower: LowerImage;
  readonly config: ImageConfig;
}

export interface MachineTree {
  /** The image as a folder of ours, in which nobody may write. */
  readonly tree: string;
  readonly config: ImageConfig;
}

/** For a kernel of its own. Throws `IMAGE_NOT_FOUND`, `IMAGE_INVALID`. */
export async function machineImage(spec: MachineImageSpec): Promise<MachineImage> {
  const { store, found } = await pinnedImage(spec);
  return { lower: await store.lower(found.manifest), config: found.config };
}

/** For the host's kernel. Throws `IMAGE_NOT_FOUND`, `IMAGE_INVALID`. */
export async function machineTree(spec: MachineImageSpec): Promise<MachineTree> {
  const { store, found } = await pinnedImage(spec);
  return { tree: await store.tree(found.manifest), config: found.config };
}

async function pinnedImage(
  spec: MachineImageSpec,
): Promise<{ readonly store: ImageStore; readonly found: StoredImage }> {
  const store = await ImageStore.open(join(spec.homeDir, 'images'));
  const found = await heldImage(store, spec);
  // Between the look and the pin somebody may have collected: what is pinned is looked at again.
  await store.pin(spec.stateDir, found.manifest);
  await store.describe(found.manifest);
  return { store, found };
}

async function heldImage(
  store: ImageStore,
  { image, localBundlePath }: MachineImageSpec,
): Promise<StoredImage> {
  const [found] =
    localBundlePath === undefined ? [await store.find(image)] : await store.take(localBundlePath, null);
  if (found != null) return found;
  throw new GatewayError(
    'IMAGE_NOT_FOUND',
    `there is no image ${image} here: \`sallyport image ls\` tells what is`,
  );
}
