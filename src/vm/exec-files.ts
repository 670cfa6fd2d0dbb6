/**
 * A machine's files by way of commands in it: for machines that have no other way, and as root of the sandbox sees them.
 *
 * Pure but for the commands. Paths and links are resolved inside the machine, so none leads out of it. Needs `sh`,
 * `cat`, `find`, `stat`, `mktemp` and `mv` there, GNU's or busybox's.
 */
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { ExecOptions, Execution, FileContent, FileInfo, WriteOptions } from './backend.js';
import { collect } from './collect.js';
import { ErrFileFailed, ErrFileNotFound, ErrInvalidConfig } from './errors.js';
import { matchPaths } from './glob.js';
import { FIND_FORMAT, parseListing, STAT_SCRIPT } from './listing.js';

export interface ExecFiles {
  writeFile(path: string, content: FileContent, options?: WriteOptions): Promise<void>;
  readFile(path: string): Promise<Uint8Array>;
  readFileStream(path: string): Promise<Readable>;
  listFiles(path: string): Promise<readonly FileInfo[]>;
  searchFiles(path: string, pattern: string): Promise<readonly FileInfo[]>;
}

type Start = (command: string, options: ExecOptions) => Promise<Execution>;

/** What the scripts below end with. */
const NOT_FOUND = 44;
const REFUSED = 45;

const DEFAULT_MODE = 0o644;

/** A new file beside the old one takes its place once it is whole. A link is replaced, not written through. */
const WRITE = `
set -e
if [ -d "$1" ]; then echo "is a folder" >&2; exit ${REFUSED}; fi
folder=$(dirname -- "$1")
mkdir -p -- "$folder"
new=$(mktemp "$folder/.sallyport-XXXXXX")
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' TERM
cat >"$new"
chmod "$2" "$new"
mv -f -- "$new" "$1"
trap - EXIT
`;

const READ = `
[ -e "$1" ] || exit ${NOT_FOUND}
[ -f "$1" ] || { echo "is not a file" >&2; exit ${REFUSED}; }
exec cat -- "$1"
`;

/** \`$2\`: how deep; \`$3\`: GNU's format. */
const LIST = `
[ -e "$1" ] || exit ${NOT_FOUND}
[ -d "$1" ] || { echo "is not a folder" >&2; exit ${REFUSED}; }
cd -- "$1" || exit ${REFUSED}
if find . -maxdepth 0 -printf '' 2>/dev/null
then find . -mindepth 1 -maxdepth "$2" -printf "$3"
else find . -mindepth 1 -maxdepth "$2" -exec sh -c '${STAT_SCRIPT}' sh {} +
fi 2>/dev/null
# A folder below that is closed to the user is passed over; this one is told of.
ls -- . >/dev/null
`;

/** Half a million files or so. */
const MAX_LISTING_BYTES = 64 * 1024 * 1024;

/** As deep as a path can be. */
const ANY_DEPTH = 4096;

export function createExecFiles(start: Start): ExecFiles {
  const script = (source: string, args: readonly string[], stdin?: FileContent): Promise<Execution> => {
    for (const arg of args) checkPath(arg);
    return start('sh', {
      args: ['-c', source, 'sh', ...args],
      workingDir: '/',
      timeoutMs: 0,
      ...(stdin !== undefined && { stdin }),
    });
  };

  const list = async (path: string, depth: number): Promise<readonly FileInfo[]> => {
    const execution = await script(LIST, [path, String(depth), FIND_FORMAT]);
    const { exitCode, stdout, stderr } = await collect(execution, { maxOutputBytes: MAX_LISTING_BYTES });
    conclude(exitCode, path, stderr);
    return parseListing(path, stdout);
  };

  const readFileStream = async (path: string): Promise<Readable> => {
    const execution = await script(READ, [path]);
    return Readable.from(bytesOf(execution, path), { objectMode: false });
  };

  return {
    async writeFile(path, content, { mode = DEFAULT_MODE } = {}) {
      const execution = await script(WRITE, [path, mode.toString(8)], content);
      execution.stdout.resume();
      await finish(execution, path);
    },
    readFileStream,
    async readFile(path) {
      const chunks: Buffer[] = [];
      for await (const chunk of await readFileStream(path)) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    },
    async listFiles(path) {
      return await list(path, 1);
    },
    async searchFiles(path, pattern) {
      const matches = matchPaths(pattern);
      const found = await list(path, ANY_DEPTH);
      return found.filter(file => matches(posix.relative(path, file.path)));
    },
  };
}

function checkPath(path: string): void {
  if (path.includes('\0')) throw new ErrInvalidConfig('a path holds a NUL');
}

/** The output as it comes; a failure of the command ends it as an error. */
async function* bytesOf(execution: Execution, path: string): AsyncGenerator<Buffer> {
  const failed = text(execution.stderr);
  let whole = false;
  try {
    for await (const chunk of execution.stdout) yield chunk as Buffer;
    whole = true;
  } finally {
    if (!whole) execution.kill('SIGKILL');
  }
  const { exitCode } = await execution.exit;
  conclude(exitCode, path, await failed);
}

async function finish(execution: Execution, path: string): Promise<void> {
  const [{ exitCode }, said] = await Promise.all([execution.exit, text(execution.stderr)]);
  conclude(exitCode, path, said);
}

function conclude(exitCode: number, path: string, said: string): void {
  if (exitCode === 0) return;
  if (exitCode === NOT_FOUND) throw new ErrFileNotFound(`${path}: no such file or folder in the sandbox`);
  throw new ErrFileFailed(
    `${path}: ${said.trim().slice(0, MAX_SAID) || `the command ended with ${exitCode}`}`,
  );
}

const MAX_SAID = 500;
