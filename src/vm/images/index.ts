/** The images' public face. */
export {
  type MachineImage,
  type MachineImageSpec,
  type MachineTree,
  machineImage,
  machineTree,
} from './for-machine.js';
export type { Digest, Platform } from './manifest.js';
export type { Credentials } from './registry/client.js';
export { loginFor } from './registry/logins.js';
export type { PullProgress } from './registry/pull.js';
export {
  ImageStore,
  type LowerImage,
  type PullOptions,
  type StoredImage,
  type StoreOptions,
} from './store.js';
