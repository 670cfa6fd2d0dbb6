/** The images' public face. */
export type { Digest, Platform } from './manifest.js';
export { ImageStore, type LowerImage, type StoredImage, type StoreOptions } from './store.js';
