/**
 * The images of a home folder: what they are called, what they are made of, and their file systems made ready (shell).
 *
 * Several processes may use one store. Content is under its digest and never changes; whoever adds holds the store's
 * lock shared, whoever collects garbage holds it alone.
 */
import { existsSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, GatewayError } from '../../core/errors.js';
import type { ImageConfig } from '../config.js';
import { type Assembly, assemble, DEFAULT_BOUNDS } from './assemble.js';
import { BlobStore, isDiskFull } from './blobs.js';
import type { Bounds } from './decompress.js';
import { Derived } from './derived.js';
import { lockFile } from './lock.js';
import { LOWER_FS_TYPE, writeLower } from './lower.js';
import {
  type Digest,
  type ImageFacts,
  MAX_DOCUMENT_BYTES,
  type Manifest,
  type Platform,
  parseImageConfig,
  parseManifest,
  platformOf,
} from './manifest.js';
import {
  candidatesOf,
  DEFAULT_REGISTRY,
  type FullReference,
  nameOf,
  parseReference,
  type Reference,
} from './reference.js';
import { type Ref, RefStore } from './refs.js';
import { type Credentials, RepositoryClient } from './registry/client.js';
import { parseOrigin, type RegistryOrigin } from './registry/origin.js';
import { type PullProgress, pullImage } from './registry/pull.js';
import type { Found } from './source/files.js';
import { partsOf } from './source/layout.js';
import { takePath } from './source/take.js';
import { writeTree } from './write-tree.js';

/** An image that the store holds. */
export interface StoredImage {
  /** Null for one that was only taken, for a sandbox that names a path. */
  readonly name: string | null;
  readonly manifest: Digest;
  readonly createdMs: number;
  /** Of its layers, as they are packed. */
  readonly bytes: number;
  readonly layers: readonly Digest[];
  readonly platform: Platform;
  readonly config: ImageConfig;
}

/** A read-only file system image, shared by all who boot from it. */
export interface LowerImage {
  readonly path: string;
  readonly fsType: typeof LOWER_FS_TYPE;
}

export interface StoreOptions {
  /** Default: linux on this machine's processor. */
  readonly platform?: Platform;
  /**
   * Where names without a registry are looked for, in this order: `HOST[:PORT]`, with `http://` before it for one that
   * is to be spoken to in the clear. Default: `docker.io`.
   */
  readonly registries?: readonly string[];
  readonly bounds?: Bounds;
}

export interface PullOptions {
  /** Who we are to a registry. Asked for that registry's own name only. */
  readonly login?: (registry: string) => Promise<Credentials | null>;
  /** Speak plain HTTP to a registry that is not on this machine. */
  readonly plainHttp?: boolean;
  readonly onProgress?: (progress: PullProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface StoreParts {
  readonly blobs: BlobStore;
  readonly refs: RefStore;
  readonly pins: RefStore;
  readonly lowers: Derived;
  readonly trees: Derived;
}

export class ImageStore {
  readonly #folder: string;
  readonly #parts: StoreParts;
  readonly #bounds: Bounds;
  readonly platform: Platform;
  readonly #registries: readonly RegistryOrigin[];

  private constructor(folder: string, parts: StoreParts, options: StoreOptions) {
    this.#folder = folder;
    this.#parts = parts;
    this.#bounds = options.bounds ?? DEFAULT_BOUNDS;
    this.platform = options.platform ?? platformOf(process.arch);
    this.#registries = (options.registries ?? [DEFAULT_REGISTRY]).map(readOrigin);
  }

  /** Opens the store in `folder`, made where it is missing. Only its owner may look into it. */
  static async open(folder: string, options: StoreOptions = {}): Promise<ImageStore> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
    const parts: StoreParts = {
      blobs: await BlobStore.open(folder),
      refs: await RefStore.open(join(folder, 'refs')),
      pins: await RefStore.open(join(folder, 'pins')),
      lowers: await Derived.open(join(folder, 'lower')),
      trees: await Derived.open(join(folder, 'trees')),
    };
    return new ImageStore(folder, parts, options);
  }

  get blobs(): BlobStore {
    return this.#parts.blobs;
  }

  /** In order of names. */
  async list(): Promise<readonly StoredImage[]> {
    const refs = await this.#parts.refs.list();
    return Promise.all(refs.map(ref => this.#describe(ref)));
  }

  /** The image that `text` names here, without asking any registry; null where there is none. */
  async find(text: string): Promise<StoredImage | null> {
    const reference = readReference(text);
    for (const candidate of [reference, ...this.#candidates(reference)]) {
      const ref = await this.#parts.refs.find(nameOf(candidate));
      if (ref !== null) return this.#describe(ref);
    }
    return null;
  }

  /**
   * Takes what `path` leads to: a layout, an archive, a root file system. It gets `name`, or the names that it brings;
   * without both it has none. Throws `IMAGE_INVALID`, `IMAGE_NOT_FOUND`, `LIMIT_EXCEEDED`.
   */
  async take(path: string, name: string | null, signal?: AbortSignal): Promise<readonly StoredImage[]> {
    const given = name === null ? null : nameOf(readReference(name));
    return this.adding(async () => {
      const found = await takePath(path, this.blobs, this.platform, { ...this.#bounds, signal });
      if (given !== null && found.length > 1) {
        throw new GatewayError(
          'IMAGE_INVALID',
          `${path} holds ${found.length} images: they cannot all be called ${given}`,
        );
      }
      const images: StoredImage[] = [];
      for (const image of found) images.push(...(await this.#name(image, given, signal)));
      return images;
    }, signal);
  }

  /**
   * Brings `text` from its registry, or from the first of the list that has it; what is here already is not asked for
   * again. A registry that fails ends the search: another's image of that name could be anybody's. Throws
   * `IMAGE_NOT_FOUND`, `IMAGE_PULL_FAILED`, `IMAGE_INVALID`.
   */
  async pull(text: string, options: PullOptions = {}): Promise<StoredImage> {
    const candidates = this.#candidates(readReference(text));
    return this.adding(async () => {
      for (const candidate of candidates) {
        const manifest = await this.#pullFrom(candidate, options).catch(error => {
          if (errorCode(error) === 'IMAGE_NOT_FOUND' && candidate !== candidates.at(-1)) return null;
          throw error;
        });
        if (manifest === null) continue;
        await this.#assemble(manifest, options.signal);
        return this.tag(nameOf(candidate), manifest);
      }
      throw new GatewayError('IMAGE_NOT_FOUND', `${text}: there is no registry to ask`);
    }, options.signal);
  }

  /** Gives `manifest`, whose parts are all here, a name. */
  async tag(name: string, manifest: Digest): Promise<StoredImage> {
    const ref = { name, manifest, createdMs: Date.now() };
    // Described first: what does not hold together gets no name.
    const image = await this.#describe(ref);
    await this.#parts.refs.set(ref);
    return image;
  }

  /** Takes a name away; false where nothing has it. What nobody names any more goes with the next collection. */
  async untag(text: string): Promise<boolean> {
    const image = await this.find(text);
    return image?.name != null && (await this.#parts.refs.remove(image.name));
  }

  /** Keeps `manifest` for as long as the folder `holder` is there, made where it is not: a sandbox's own. */
  async pin(holder: string, manifest: Digest): Promise<void> {
    await mkdir(holder, { recursive: true, mode: 0o700 });
    await this.#parts.pins.set({ name: holder, manifest, createdMs: Date.now() });
  }

  /** The image as a file system image, made at its first use. Throws `IMAGE_INVALID`, `TOOL_MISSING`. */
  async lower(manifest: Digest, signal?: AbortSignal): Promise<LowerImage> {
    const path = await this.adding(
      () =>
        this.#parts.lowers.ensure(
          manifest,
          async to => writeLower(await this.#assemble(manifest, signal), to, signal),
          signal,
        ),
      signal,
    );
    return { path, fsType: LOWER_FS_TYPE };
  }

  /** The image as a folder of the caller's own files, made at its first use. Nobody may write in it. */
  async tree(manifest: Digest, signal?: AbortSignal): Promise<string> {
    return this.adding(
      () =>
        this.#parts.trees.ensure(
          manifest,
          async to => writeTree(await this.#assemble(manifest, signal), to, signal),
          signal,
        ),
      signal,
    );
  }

  /** What is known of `manifest`, whose parts are all here. */
  async describe(manifest: Digest): Promise<StoredImage> {
    return { ...(await this.#describe({ name: '', manifest, createdMs: Date.now() })), name: null };
  }

  /** Removes what no name and no sandbox holds; gives the bytes freed, or null while somebody else is adding. */
  async collect(signal?: AbortSignal): Promise<number | null> {
    const lock = await lockFile(this.#lock(), 'exclusive', signal).catch(error => {
      if (signal?.aborted) return null;
      throw error;
    });
    if (lock === null) return null;
    try {
      const { blobs, refs, pins, lowers, trees } = this.#parts;
      await refs.tidy();
      await pins.tidy();
      for (const { name } of await pins.list()) if (!existsSync(name)) await pins.remove(name);
      const manifests = new Set(
        [...(await refs.list()), ...(await pins.list())].map(({ manifest }) => manifest),
      );
      const kept = new Set<Digest>(manifests);
      for (const manifest of manifests) for (const part of await this.#partsOf(manifest)) kept.add(part);
      return (
        (await lowers.collect(manifests)) + (await trees.collect(manifests)) + (await blobs.collect(kept))
      );
    } finally {
      await lock.release();
    }
  }

  /** Runs `work` while nobody collects garbage. */
  async adding<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const lock = await lockFile(this.#lock(), 'shared', signal);
    try {
      return await work();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      throw new GatewayError(
        'IMAGE_STORE_FAILED',
        `the disk of ${this.#folder} is full: make room there, or remove images (\`sallyport image rm\`, \`image prune\`); nothing of the new one was kept`,
        { cause: error },
      );
    } finally {
      await lock.release();
    }
  }

  async #pullFrom(reference: FullReference, options: PullOptions): Promise<Digest> {
    const { registry, repository, tag, digest } = reference;
    const given = this.#registries.find(({ name }) => name === registry);
    const origin = given ?? readOrigin(options.plainHttp ? `http://${registry}` : registry);
    const credentials = (await options.login?.(registry)) ?? null;
    return pullImage(digest ?? tag, {
      client: new RepositoryClient(origin, repository, credentials, options.signal),
      blobs: this.blobs,
      platform: this.platform,
      onProgress: options.onProgress ?? (() => {}),
      signal: options.signal,
    });
  }

  #candidates(reference: Reference): readonly FullReference[] {
    return candidatesOf(
      reference,
      this.#registries.map(({ name }) => name),
    );
  }

  #lock(): string {
    return join(this.#folder, 'lock');
  }

  async #name(
    { names, manifest }: Found,
    given: string | null,
    signal: AbortSignal | undefined,
  ): Promise<readonly StoredImage[]> {
    const wanted = given === null ? names.map(name => parseReference(name)) : [];
    const own = wanted.flatMap(name => (name.ok ? [nameOf(name.value)] : []));
    const all = given === null ? own : [given];
    // Read once, so that a bundle that does not hold together is refused when it is taken, not when it is run.
    await this.#assemble(manifest.digest, signal);
    if (all.length === 0) return [await this.describe(manifest.digest)];
    return Promise.all(all.map(name => this.tag(name, manifest.digest)));
  }

  async #assemble(digest: Digest, signal?: AbortSignal): Promise<Assembly> {
    const { manifest, facts } = await this.#read(digest);
    return assemble(this.blobs, manifest, facts, { ...this.#bounds, signal });
  }

  async #describe({ name, manifest: digest, createdMs }: Ref): Promise<StoredImage> {
    const { manifest, facts } = await this.#read(digest);
    return {
      ...{ name, manifest: digest, createdMs },
      bytes: manifest.layers.reduce((sum, { size }) => sum + size, 0),
      layers: manifest.layers.map(layer => layer.digest),
      platform: facts.platform,
      config: facts.config,
    };
  }

  async #partsOf(digest: Digest): Promise<readonly Digest[]> {
    const { manifest } = await this.#read(digest);
    return partsOf(manifest).map(part => part.digest);
  }

  async #read(digest: Digest): Promise<{ readonly manifest: Manifest; readonly facts: ImageFacts }> {
    const manifest = parseManifest(await this.blobs.read(digest, MAX_DOCUMENT_BYTES), '');
    if (!manifest.ok) throw new GatewayError('IMAGE_INVALID', `${digest}: ${manifest.error}`);
    if (manifest.value.kind !== 'manifest') throw new GatewayError('IMAGE_INVALID', `${digest} is an index`);
    partsOf(manifest.value);
    const facts = parseImageConfig(await this.blobs.read(manifest.value.config.digest, MAX_DOCUMENT_BYTES));
    if (!facts.ok) throw new GatewayError('IMAGE_INVALID', `the configuration of ${digest}: ${facts.error}`);
    return { manifest: manifest.value, facts: facts.value };
  }
}

function readOrigin(text: string): RegistryOrigin {
  const origin = parseOrigin(text);
  if (origin !== null) return origin;
  throw new GatewayError('CONFIG_INVALID', `${JSON.stringify(text)} is no registry: write HOST or HOST:PORT`);
}

/** Throws `CONFIG_INVALID`, the text being what a user wrote. */
export function readReference(text: string): Reference {
  const reference = parseReference(text);
  if (reference.ok) return reference.value;
  throw new GatewayError(
    'CONFIG_INVALID',
    `${JSON.stringify(text)} is no name of an image: ${reference.error}`,
  );
}
