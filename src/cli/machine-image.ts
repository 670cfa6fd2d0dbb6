/** The image that a machine of the command line boots: pulled where it is not here, while it is told how far it is. */
import { ensureImage } from '../runtime/image.js';
import type { PullProgress } from '../vm/images/index.js';
import { pullProgress } from './image-progress.js';
import type { Io } from './io.js';

export interface ImageFlags {
  readonly image?: string;
  /** Where an image without a registry in its name is pulled from. */
  readonly registry?: readonly string[];
  /** Default: `missing`. */
  readonly pull?: 'missing' | 'never';
}

export interface PullPlace {
  readonly homeDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Null: nothing is told. */
  readonly shown: Pick<Io, 'stderr'> | null;
  readonly isTerminal: boolean;
  readonly signal: AbortSignal;
}

/** Null: the store's own list. */
export function registriesOf({ registry, pull }: ImageFlags): readonly string[] | null {
  return pull === 'never' ? [] : (registry ?? null);
}

/** The whole name under which the image is kept. */
export async function pulledImage(flags: ImageFlags, place: PullPlace): Promise<string> {
  const { image = '' } = flags;
  const { homeDir, env, signal } = place;
  const told = showPull(image, place);
  try {
    const onProgress = told.step;
    return await ensureImage(
      { image },
      { homeDir, env, signal, registries: registriesOf(flags), onProgress },
    );
  } finally {
    told.end();
  }
}

export interface ShownPull {
  readonly step: (progress: PullProgress) => void;
  readonly end: () => void;
}

/** One line at the first byte, then how far it is. */
export function showPull(
  image: string,
  { shown, isTerminal }: Pick<PullPlace, 'shown' | 'isTerminal'>,
): ShownPull {
  if (shown === null) return { step: () => {}, end: () => {} };
  const progress = pullProgress(shown.stderr, isTerminal);
  let begun = false;
  return {
    step: step => {
      if (!begun) shown.stderr(`sallyport: pulling ${image}\n`);
      begun = true;
      progress.step(step);
    },
    end: () => progress.end(),
  };
}
