/** Machines under QEMU: their public face. */
export type { AccelWish } from './accel.js';
export { createQemuBackend, type QemuBackend, type QemuOptions, qemuBackend } from './backend.js';
export {
  digestOf,
  ensureDefaultImage,
  ensureGuestFiles,
  type GuestFiles,
  type ImageFile,
  unpackDefaultImage,
} from './guest-files.js';
export type { QemuMachine } from './machine.js';
