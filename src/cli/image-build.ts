/** `sallyport image build default`: what machines boot from, made anew. */
import { errorCode } from '../core/errors.js';
import { digestOf, ensureDefaultImage, ensureGuestFiles } from '../vm/index.js';
import { EXIT_USAGE, type Io } from './io.js';
import { statePaths } from './paths.js';

const EXIT_FAILED = 1;

export async function runImageBuild(name: string, io: Io): Promise<number> {
  if (name !== 'default') {
    io.stderr(`sallyport: there is only 'default' to build; \`sallyport image import\` takes others\n`);
    return EXIT_USAGE;
  }
  const tell = (message: string): void => io.stderr(`${message}\n`);
  try {
    const { state } = statePaths(process.env);
    const { kernel, initramfs, release } = await ensureGuestFiles(state, tell, true);
    const image = await ensureDefaultImage(state, tell, true);
    io.stdout(`kernel ${release} sha256:${await digestOf(kernel)}\n`);
    io.stdout(`initramfs sha256:${await digestOf(initramfs)}\n`);
    io.stdout(`default sha256:${await digestOf(image.path)}\n`);
    return 0;
  } catch (error) {
    io.stderr(`sallyport: ${error instanceof Error ? error.message : errorCode(error)}\n`);
    return EXIT_FAILED;
  }
}
