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

/** Throws `IMAGE_NOT_FOUND`, `IMAGE_INVALID`. */
export async function machineImage(spec: MachineImageSpec): Promise<MachineImage> {
  const store = await ImageStore.open(join(spec.homeDir, 'images'));
  const found = await heldImage(store, spec);
  // Between the look and the pin somebody may have collected: what is pinned is looked at again.
  await store.pin(spec.stateDir, found.manifest);
  await store.describe(found.manifest);
  return { lower: await store.lower(found.manifest), config: found.config };
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
