/** The shape of a sandbox's configuration in a file. Pure. A key that is not here is an error. */
import { z } from 'zod';
import { guestMountProblem } from '../vm/index.js';
import { networkSchema } from './network-schema.js';

const guestPath = z.string().superRefine((path, context) => {
  const problem = guestMountProblem(path);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});
const hostPath = z
  .string()
  .min(1, 'is empty')
  .refine(path => !path.includes('\0'), { message: 'holds a NUL' });
const env = z.record(
  z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not the name of a variable'),
  z.string().refine(text => !text.includes('\0'), { message: 'holds a NUL' }),
);
const words = z.array(z.string());

const resources = z.strictObject({
  cpus: z.number().positive().max(512).optional(),
  memory_mb: z.int().min(16).optional(),
  disk_size_mb: z.int().min(1).optional(),
  pids: z.int().min(16).max(4_194_304).optional(),
  timeout_seconds: z.int().min(0).optional(),
});

const directMount = z.strictObject({ host_path: hostPath, readonly: z.boolean().optional() });

const layer = z.strictObject({
  type: z.enum(['memory', 'real_fs']),
  host_path: hostPath.optional(),
  readonly: z.boolean().optional(),
});

const typedMount = z
  .strictObject({
    type: z.enum(['memory', 'real_fs', 'overlay']),
    host_path: hostPath.optional(),
    readonly: z.boolean().optional(),
    upper: layer.optional(),
    lower: layer.optional(),
  })
  .superRefine(({ type, host_path, upper, lower }, context) => {
    const complain = (key: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [key], message });
    if ((type === 'real_fs') !== (host_path !== undefined)) {
      complain('host_path', type === 'real_fs' ? 'is what real_fs needs' : 'is for type real_fs');
    }
    if (type === 'overlay' && lower === undefined) complain('lower', 'is what an overlay needs');
    if (type !== 'overlay' && (upper ?? lower) !== undefined) complain('type', 'only an overlay has layers');
  });

const vfs = z.strictObject({
  workspace: guestPath.optional(),
  direct_mounts: z.record(guestPath, directMount).optional(),
  mounts: z.record(guestPath, typedMount).optional(),
});

const image = z.strictObject({
  user: z.string().optional(),
  working_dir: z.string().optional(),
  entrypoint: words.optional(),
  cmd: words.optional(),
  env: env.optional(),
});

const mount = z.strictObject({
  host_path: hostPath,
  guest_path: guestPath,
  read_only: z.boolean().optional(),
});

export const configSchema = z.strictObject({
  image: z.string().optional(),
  local_bundle_path: hostPath.optional(),
  rootfs_path: hostPath.optional().describe('an older name of local_bundle_path'),
  privileged: z.boolean().optional(),
  persist: z.boolean().optional(),
  resources: resources.optional(),
  cpus: resources.shape.cpus.describe('resources.cpus'),
  memory_mb: resources.shape.memory_mb.describe('resources.memory_mb'),
  network: networkSchema.optional(),
  vfs: vfs.optional(),
  mounts: z.array(mount).optional().describe('vfs.direct_mounts as a list'),
  env: env.optional(),
  working_dir: z.string().startsWith('/', 'is not an absolute path').optional(),
  extra_disks: z
    .array(z.strictObject({ host_path: hostPath, guest_mount: guestPath, readonly: z.boolean().optional() }))
    .optional(),
  image_config: image.optional(),
});
