/** `sallyport image …`: flags to functions. */
import { type Command, Option } from 'commander';
import type { Io } from './io.js';

const IMPORT_HELP = `
PATH is an OCI image layout, what \`docker save\` or \`skopeo\` wrote (also packed by gzip or zstd), a root file system as
a folder, or one as a tar archive. An image that brings names keeps them, unless NAME is given.

Examples:
  docker save alpine:3.20 | gzip > alpine.tar.gz && sallyport image import alpine.tar.gz
  sallyport image import ./rootfs mine:1`;

const PULL_HELP = `
Names and passwords are those of \`docker login\` (~/.docker/config.json). What was received before a Ctrl-C or a broken
connection is not fetched again; \`sallyport image prune\` removes it.

Examples:
  sallyport image pull alpine:3.20
  sallyport image pull registry.example.com/team/app@sha256:…
  sallyport image pull --registry mirror.example.com --registry docker.io debian:12-slim`;

const BUILD_HELP = `
The kernel comes from Debian's package (linux-image-cloud-*), out of apt's cache or by \`apt-get download\`, and is not
installed; busybox, curl and the trusted authorities are this machine's. It is made by the first \`run --vm\` too.

Exit code: 0 done, 1 it could not be done, 2 there is no such image to build.`;

const EXIT_HELP = `
Exit code: 0 done, 1 it could not be done, 2 bad usage, 130 stopped by Ctrl-C; nothing is left half done.`;

const collect = (value: string, previous: readonly string[] = []): readonly string[] => [...previous, value];

/** Adds the commands, and gives their parent to whoever has more of them. */
export function addImageCommands(sallyport: Command, io: Io, exit: (code: number) => void): Command {
  const image = sallyport.command('image').description('the images that sandboxes start from');
  image
    .command('ls')
    .description('the images that are here')
    .option('--json', 'one JSON object a line', false)
    .addHelpText('after', EXIT_HELP)
    .action(async flags => {
      const { runImageList } = await import('./image.js');
      exit(await runImageList(flags, io));
    });
  addComing(image, io, exit);
  image
    .command('inspect')
    .description('what an image is made of, as JSON')
    .argument('<name>', 'a name of `sallyport image ls`')
    .addHelpText('after', EXIT_HELP)
    .action(async (name: string) => {
      const { runImageInspect } = await import('./image.js');
      exit(await runImageInspect(name, io));
    });
  image
    .command('rm')
    .description('take names away, and what nobody names any more')
    .argument('<name...>', 'names of `sallyport image ls`')
    .addHelpText('after', EXIT_HELP)
    .action(async (names: readonly string[]) => {
      const { runImageRemove } = await import('./image.js');
      exit(await runImageRemove(names, io));
    });
  image
    .command('prune')
    .description('remove what no name and no sandbox holds: downloads cut off, images without a name')
    .addHelpText('after', EXIT_HELP)
    .action(async () => {
      const { runImagePrune } = await import('./image.js');
      exit(await runImagePrune(io));
    });
  return image;
}

/** How images come here. */
function addComing(image: Command, io: Io, exit: (code: number) => void): void {
  image
    .command('pull')
    .description('bring an image from a registry')
    .argument('<name>', '[registry/]path[:tag][@digest]')
    .option('--registry <host>', 'where to look for a name without a registry; may be repeated', collect)
    .option('--plain-http', 'speak plain HTTP to a registry that is not on this machine', false)
    .addOption(new Option('--platform <os/arch>', 'which of several to take (default: this machine’s)'))
    .option('--quiet', 'no progress', false)
    .addHelpText('after', `${PULL_HELP}\n${EXIT_HELP}`)
    .action(async (name: string, flags) => {
      const { runImagePull } = await import('./image.js');
      exit(await runImagePull(name, flags, io));
    });
  image
    .command('build')
    .description('make the image that needs no download again, from this machine’s own programs')
    .argument('<name>', 'default')
    .addHelpText('after', BUILD_HELP)
    .action(async (name: string) => {
      const { runImageBuild } = await import('./image-build.js');
      exit(await runImageBuild(name, io));
    });
  image
    .command('import')
    .description('take an image from a file or a folder')
    .argument('<path>', 'a layout, an archive or a root file system')
    .argument('[name]', 'what it is to be called, as name:tag')
    .addOption(new Option('--platform <os/arch>', 'which of several to take (default: this machine’s)'))
    .option('--quiet', 'no progress', false)
    .addHelpText('after', `${IMPORT_HELP}\n${EXIT_HELP}`)
    .action(async (path: string, name: string | undefined, flags) => {
      const { runImageImport } = await import('./image.js');
      exit(await runImageImport({ ...flags, path, name: name ?? null }, io));
    });
}
