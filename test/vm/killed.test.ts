import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const STAND_IN = join(import.meta.dirname ?? __dirname, 'stand-in.mjs');

/** Every process whose arguments hold `mark`. */
function processesOf(mark: string): readonly string[] {
  return readdirSync('/proc').filter(pid => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(mark);
    } catch {
      return false; // it ended meanwhile
    }
  });
}

/** The network namespaces that those processes are in. */
function namespacesOf(mark: string): ReadonlySet<string> {
  return new Set(
    processesOf(mark).flatMap(pid => {
      try {
        return [readlinkSync(`/proc/${pid}/ns/net`)];
      } catch {
        return []; // it ended meanwhile
      }
    }),
  );
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 20));
}

let workdir: string;
/** Of the gateway alone: other tests make files in the common one at the same time. */
let temporary: string;
const started: ChildProcess[] = [];
beforeEach(() => {
  workdir = mkdtempSync(join(tmpdir(), 'sallyport-killed-'));
  temporary = mkdtempSync(join(tmpdir(), 'sallyport-killed-tmp-'));
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(workdir, { recursive: true, force: true });
  rmSync(temporary, { recursive: true, force: true });
});

function start(...argv: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [STAND_IN, workdir, ...argv], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: temporary },
  });
  started.push(child);
  return child;
}

test('nothing stays behind when the gateway is killed: no process, no namespace, no file', async () => {
  // A duration that no other process sleeps for tells this test's processes from all others.
  const sleep = `sleep\u0000${9_000_000 + process.pid}`;
  const command = sleep.replace('\0', ' ');
  const gateway = start('sh', '-c', `setsid ${command} & echo up; ${command}`);
  await new Promise(resolve => gateway.stdout?.once('data', resolve));
  await until(() => processesOf(sleep).length === 2);
  const [own] = namespacesOf(sleep);
  expect(own).not.toBe(readlinkSync('/proc/self/ns/net'));

  gateway.kill('SIGKILL');
  await until(() => processesOf(sleep).length === 0 && processesOf(workdir).length === 0);
  await until(() => !namespacesOf('').has(own ?? ''));
  expect(readdirSync(temporary)).toEqual([]);
});

test('a gateway killed while its door opens leaves nothing behind either', async () => {
  for (const delayMs of [60, 120, 180, 240]) {
    const gateway = start('sleep', '300');
    await new Promise(resolve => setTimeout(resolve, delayMs));
    gateway.kill('SIGKILL');
  }
  await until(() => processesOf(workdir).length === 0);
});

describe('on a terminal', () => {
  /** Types into a terminal that runs the stand-in; resolves to what the terminal showed. */
  async function typed(
    command: readonly string[],
    keys: readonly (readonly [after: string, keys: string])[],
  ) {
    const line = [process.execPath, STAND_IN, workdir, ...command]
      .map(word => `'${word.replaceAll("'", `'\\''`)}'`)
      .join(' ');
    // The shell that `script` starts would be in the foreground too, and dash ends by the interrupt that it waited out.
    const terminal = spawn('script', ['-qefc', `exec ${line}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    started.push(terminal);
    let shown = '';
    terminal.stdout.on('data', (data: Buffer) => {
      shown += String(data);
    });
    const exited = new Promise<number | null>(resolve => terminal.once('close', resolve));
    for (const [after, text] of keys) {
      await until(() => shown.includes(after) || terminal.exitCode !== null);
      terminal.stdin.write(text);
    }
    return { code: await exited, shown };
  }

  test('Ctrl-C reaches the command once, and nothing around it ends', async () => {
    const script = "n=0; trap 'n=$((n+1)); echo got $n' INT; echo ready; read line; echo $line $n";
    const { shown, code } = await typed(
      ['bash', '-c', script],
      [
        ['ready', '\x03'],
        ['got 1', 'done\n'],
      ],
    );
    expect(shown).toContain('done 1');
    expect(code).toBe(0);
  });

  test('Ctrl-C ends a command that does not handle it, with 130', async () => {
    const { code } = await typed(['sh', '-c', 'echo ready; sleep 300'], [['ready', '\x03']]);
    expect(code).toBe(130);
  });

  test('an interactive shell has job control', async () => {
    const { shown, code } = await typed(
      ['bash', '--norc', '-i'],
      [
        ['bash-', '(echo sta""rted; sleep 300)\n'],
        ['started', '\x1a'],
        ['Stopped', 'echo fi""ne; exit 3\n'],
        ['There are stopped jobs', 'exit 3\n'],
      ],
    );
    expect(shown).toContain('Stopped');
    expect(shown).toContain('fine');
    expect(shown).not.toContain('no job control');
    expect(code).toBe(3);
  });
});
