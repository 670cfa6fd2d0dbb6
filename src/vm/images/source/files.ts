/** Where a bundle's documents and blobs are, whether it is a folder or an archive. Pure types. */
import type { Content } from '../blobs.js';
import type { Descriptor } from '../manifest.js';

export interface BundleFiles {
  /** A small file, whole; null where it is missing. Throws `IMAGE_INVALID` for one that is longer than `maxBytes`. */
  read(path: string, maxBytes: number): Promise<Uint8Array | null>;
  /** Puts the file at `path` into the store, and compares what it must be. */
  keep(path: string, content: Content): Promise<void>;
  /** Puts the file at `path` into the store, whatever it is. */
  keepAny(path: string): Promise<Content>;
}

/** An image that is in the store now, without a name of ours. */
export interface Found {
  /** The names that the bundle gives it. */
  readonly names: readonly string[];
  readonly manifest: Descriptor;
}
