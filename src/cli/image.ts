/** `sallyport image …` (shell: signals, the terminal). */
import { resolve } from 'node:path';
import { errorCode, GatewayError } from '../core/errors.js';
import {
  ImageStore,
  loginFor,
  type Platform,
  type StoredImage,
  type StoreOptions,
} from '../vm/images/index.js';
import { pullProgress } from './image-progress.js';
import { EXIT_USAGE, type Io } from './io.js';
import { statePaths } from './paths.js';

export interface ImportFlags {
  readonly path: string;
  readonly name: string | null;
  readonly platform?: string;
  readonly quiet: boolean;
}

const defaults = (): StoreOptions => ({});

const EXIT_FAILED = 1;
const EXIT_INTERRUPTED = 130;

export function runImageList({ json }: { readonly json: boolean }, io: Io): Promise<number> {
  return withStore(io, defaults, async store => {
    const images = await store.list();
    if (json) io.stdout(images.map(image => `${JSON.stringify(shown(image))}\n`).join(''));
    else io.stdout(table(images));
    return 0;
  });
}

export function runImageImport({ path, name, platform, quiet }: ImportFlags, io: Io): Promise<number> {
  return withStore(
    io,
    () => platformOption(platform),
    async (store, signal) => {
      if (!quiet) io.stderr(`reading ${path}\n`);
      for (const image of await store.take(resolve(path), name, signal)) {
        io.stdout(`${image.name ?? '(no name: give it one)'} ${image.manifest}\n`);
      }
      return 0;
    },
  );
}

export interface PullFlags {
  readonly platform?: string;
  readonly registry?: readonly string[];
  readonly plainHttp: boolean;
  readonly quiet: boolean;
}

export function runImagePull(name: string, flags: PullFlags, io: Io): Promise<number> {
  const options = (): StoreOptions => ({
    ...platformOption(flags.platform),
    ...(flags.registry === undefined ? {} : { registries: flags.registry }),
  });
  return withStore(io, options, async (store, signal) => {
    const progress = flags.quiet ? null : pullProgress(io.stderr, process.stderr.isTTY === true);
    try {
      const image = await store.pull(name, {
        signal,
        plainHttp: flags.plainHttp,
        login: registry => loginFor(registry, process.env),
        onProgress: step => progress?.step(step),
      });
      progress?.end();
      io.stdout(`${image.name ?? name} ${image.manifest}\n`);
      return 0;
    } catch (error) {
      progress?.end();
      throw error;
    }
  });
}

export function runImageInspect(name: string, io: Io): Promise<number> {
  return withStore(io, defaults, async store => {
    const image = await store.find(name);
    if (image === null) return missing(name, io);
    io.stdout(`${JSON.stringify(shown(image), null, 2)}\n`);
    return 0;
  });
}

export function runImageRemove(names: readonly string[], io: Io): Promise<number> {
  return withStore(io, defaults, async store => {
    let code = 0;
    for (const name of names) {
      if (await store.untag(name)) io.stdout(`removed ${name}\n`);
      else code = missing(name, io);
    }
    // What is held up by another process stays until the next time.
    await store.collect(AbortSignal.timeout(COLLECT_TIMEOUT_MS));
    return code;
  });
}

const COLLECT_TIMEOUT_MS = 2000;

export function runImagePrune(io: Io): Promise<number> {
  return withStore(io, defaults, async (store, signal) => {
    const freed = await store.collect(signal);
    io.stdout(`freed ${size(freed ?? 0)}\n`);
    return 0;
  });
}

/** Opens the store, runs `work`, and says what went wrong. Ctrl-C ends the work; what it left half done goes too. */
export async function withStore(
  io: Io,
  options: () => StoreOptions,
  work: (store: ImageStore, signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    return await work(await ImageStore.open(statePaths(process.env).images, options()), stop.signal);
  } catch (error) {
    if (stop.signal.aborted) {
      io.stderr('sallyport: stopped\n');
      return EXIT_INTERRUPTED;
    }
    io.stderr(`sallyport: ${explain(error)}\n`);
    return error instanceof GatewayError && error.code === 'CONFIG_INVALID' ? EXIT_USAGE : EXIT_FAILED;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function explain(error: unknown): string {
  return error instanceof Error ? error.message : errorCode(error);
}

export function platformOption(text: string | undefined): StoreOptions {
  if (text === undefined) return {};
  const [os = '', architecture = '', variant, ...more] = text.split('/');
  if (os !== 'linux' || architecture === '' || more.length > 0) {
    throw new GatewayError('CONFIG_INVALID', `--platform ${text}: it is linux/ARCH or linux/ARCH/VARIANT`);
  }
  const platform: Platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  return { platform };
}

function missing(name: string, io: Io): number {
  io.stderr(`sallyport: ${name}: no such image; \`sallyport image ls\` lists what is here\n`);
  return EXIT_FAILED;
}

function shown({ config, createdMs, platform, ...rest }: StoredImage): unknown {
  const { user, workingDir, entrypoint, cmd, env } = config;
  return {
    name: rest.name,
    manifest: rest.manifest,
    platform: [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/'),
    bytes: rest.bytes,
    created: createdMs,
    layers: rest.layers,
    config: { user, working_dir: workingDir, entrypoint, cmd, env },
  };
}

function table(images: readonly StoredImage[]): string {
  const rows = [
    ['NAME', 'MANIFEST', 'SIZE'],
    ...images.map(({ name, manifest, bytes }) => [name ?? '', manifest.slice(7, 19), size(bytes)]),
  ];
  const widths = [0, 1, 2].map(column => Math.max(...rows.map(row => (row[column] ?? '').length)));
  return rows
    .map(
      row =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
