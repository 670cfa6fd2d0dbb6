/**
 * The documents of an image: index, manifest, configuration (OCI image-spec 1.1; Docker image manifest 2, schema 2).
 *
 * Pure. A document that could be read as two kinds is refused, and so is a digest of another algorithm than SHA-256.
 */
import { z } from 'zod';
import { err, ok, type Result } from '../../core/result.js';
import type { ImageConfig } from '../config.js';

/** `sha256:` and 64 hexadecimal digits. */
export type Digest = `sha256:${string}`;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

export const MEDIA = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;

/** Bounds of what is held in memory whole, in bytes. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
const MAX_LAYERS = 256;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

export interface Index {
  readonly kind: 'index';
  readonly manifests: readonly (Descriptor & {
    readonly platform: Platform | null;
    readonly name: string | null;
  })[];
}

export interface Manifest {
  readonly kind: 'manifest';
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface ImageFacts {
  readonly platform: Platform;
  /** Of the layers' uncompressed bytes, lowest first. */
  readonly diffIds: readonly Digest[];
  readonly config: ImageConfig;
  readonly created: string | null;
}

/** What is wrong with a document, as a sentence. */
export type DocumentFault = string;

const digest = z
  .string()
  .regex(DIGEST, 'is not sha256: and 64 hexadecimal digits') as unknown as z.ZodType<Digest>;
const size = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const descriptor = z.object({ mediaType: z.string(), digest, size });
const platform = z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() });

const NAME_ANNOTATIONS = ['io.containerd.image.name', 'org.opencontainers.image.ref.name'];

const index = z.object({
  schemaVersion: z.literal(2),
  manifests: z.array(
    descriptor.extend({
      platform: platform.nullish(),
      annotations: z.record(z.string(), z.string()).nullish(),
    }),
  ),
});

const manifest = z.object({
  schemaVersion: z.literal(2),
  config: descriptor,
  layers: z
    .array(descriptor.extend({ urls: z.array(z.string()).max(0, 'are elsewhere: not followed').nullish() }))
    .max(MAX_LAYERS),
});

const words = z.array(z.string()).nullish();
const imageConfig = z.object({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
  created: z.string().nullish(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digest).max(MAX_LAYERS) }),
  config: z
    .object({
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      Entrypoint: words,
      Cmd: words,
      Env: words,
    })
    .nullish(),
});

/** Reads an index or a manifest. `declared` is the type that it came with, or empty. */
export function parseManifest(bytes: Uint8Array, declared: string): Result<Index | Manifest, DocumentFault> {
  const value = parseJson(bytes);
  if (typeof value !== 'object' || value === null) return err('it is not a JSON object');
  const own = 'mediaType' in value ? value.mediaType : undefined;
  if (own !== undefined && declared !== '' && own !== declared)
    return err('it calls itself another type than its descriptor does');
  const isIndex = 'manifests' in value;
  if (isIndex && ('layers' in value || 'config' in value))
    return err('it is a manifest and an index at once');
  if (!isFitting(typeof own === 'string' ? own : declared, isIndex))
    return err('its media type is not that of its content');
  if (isIndex) {
    const parsed = index.safeParse(value);
    return parsed.success ? ok(indexOf(parsed.data)) : err(faultOf(parsed.error));
  }
  const parsed = manifest.safeParse(value);
  if (!parsed.success) return err(faultOf(parsed.error));
  return ok({ kind: 'manifest', config: parsed.data.config, layers: parsed.data.layers });
}

function isFitting(mediaType: string, isIndex: boolean): boolean {
  const fitting: readonly string[] = isIndex
    ? [MEDIA.index, MEDIA.dockerList]
    : [MEDIA.manifest, MEDIA.dockerManifest];
  return mediaType === '' || fitting.includes(mediaType);
}

function indexOf({ manifests }: z.infer<typeof index>): Index {
  return {
    kind: 'index',
    manifests: manifests.map(({ platform, annotations, ...rest }) => ({
      ...rest,
      platform: platform ?? null,
      name: NAME_ANNOTATIONS.map(key => annotations?.[key]).find(name => name !== undefined) ?? null,
    })),
  };
}

/** Reads an image's configuration, Docker's or OCI's. */
export function parseImageConfig(bytes: Uint8Array): Result<ImageFacts, DocumentFault> {
  const parsed = imageConfig.safeParse(parseJson(bytes));
  if (!parsed.success) return err(faultOf(parsed.error));
  const { os, architecture, variant, rootfs, config, created } = parsed.data;
  const env = parseEnv(config?.Env ?? []);
  if (env === null) return err('config.Env: a line is not NAME=VALUE');
  return ok({
    platform: { os, architecture, variant },
    diffIds: rootfs.diff_ids,
    created: created ?? null,
    config: {
      ...(config?.User ? { user: config.User } : {}),
      ...(config?.WorkingDir ? { workingDir: config.WorkingDir } : {}),
      ...(config?.Entrypoint ? { entrypoint: config.Entrypoint } : {}),
      ...(config?.Cmd ? { cmd: config.Cmd } : {}),
      env,
    },
  });
}

function parseEnv(lines: readonly string[]): Readonly<Record<string, string>> | null {
  const pairs = lines.map(line => /^([^=\0]+)=([^\0]*)$/s.exec(line));
  if (pairs.includes(null)) return null;
  // Without a prototype: a variable may be called __proto__.
  const env: Record<string, string> = Object.create(null);
  for (const pair of pairs) env[pair?.[1] ?? ''] = pair?.[2] ?? '';
  return env;
}

/** How a layer is packed; null for a media type that is no layer of ours. */
export function isLayerType(mediaType: string): boolean {
  return /^application\/vnd\.(oci\.image\.layer(\.nondistributable)?\.v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.diff\.tar(\.gzip|\.zstd)?)$/.test(
    mediaType,
  );
}

/** The manifest in `index` for a platform: exact variant first, then any of the architecture. */
export function choosePlatform(
  from: Index,
  wanted: Platform,
): (Descriptor & { readonly platform: Platform | null }) | null {
  const fitting = from.manifests.filter(
    ({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture,
  );
  const exact = fitting.find(({ platform }) => platform?.variant === wanted.variant);
  // Layouts that hold one image often do not say for which platform: its configuration does.
  const only = from.manifests.length === 1 && from.manifests[0]?.platform === null ? from.manifests[0] : null;
  return exact ?? fitting[0] ?? only;
}

const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ['x64', 'amd64'],
  ['arm64', 'arm64'],
  ['ia32', '386'],
]);

/** What an image must be for, to run here. `architecture` is Node's name. */
export function platformOf(architecture: string): Platform {
  return { os: 'linux', architecture: ARCHITECTURES.get(architecture) ?? architecture };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return null; // the caller says that it is not JSON
  }
}

function faultOf(error: z.ZodError): DocumentFault {
  return error.issues
    .slice(0, 3)
    .map(({ path, message }) => `${path.join('.') || 'it'}: ${message}`)
    .join('; ');
}
