/**
 * What every backend's machines do, whatever they are: run by each backend's own test with a machine of its own.
 *
 * `open` gives a machine that runs, without a network; the contract closes it. One machine serves all tests but those
 * that end it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import type { Machine } from '../../src/vm/backend.js';

export interface Contract {
  readonly name: string;
  /** A started machine; each has a state folder of its own. */
  open(): Promise<Machine>;
  /** For one test. Default: 30 s. */
  readonly timeoutMs?: number;
  /** Of the big file that goes in and out. Default: 64 MiB. */
  readonly bulkBytes?: number;
}

export function machineContract({
  name,
  open,
  timeoutMs = 30_000,
  bulkBytes = 64 * 1024 * 1024,
}: Contract): void {
  describe(`the contract, kept by ${name}`, () => {
    let machine: Machine;
    beforeAll(async () => {
      machine = await open();
    }, timeoutMs);
    afterAll(() => machine?.close(), timeoutMs);

    describe('commands', () => {
      test('keep standard output and standard error apart, and give their exit code', async () => {
        const result = await machine.exec('echo out; echo err >&2; exit 7');
        expect(result).toMatchObject({
          stdout: 'out\n',
          stderr: 'err\n',
          exitCode: 7,
          signal: null,
          timedOut: false,
        });
      });

      test('take arguments as they are, without a shell', async () => {
        const args = ['%s|', 'a b', "it's", '$HOME', '*', '', 'ü\n'];
        const { stdout } = await machine.exec('printf', { args });
        expect(stdout).toBe("a b|it's|$HOME|*||ü\n|");
      });

      test('have the variables and the folder that they are given', async () => {
        const options = { env: { GREETING: 'hello $x "y"' }, workingDir: '/usr' };
        const { stdout } = await machine.exec('printf "%s\\n" "$GREETING"; pwd', options);
        expect(stdout).toBe('hello $x "y"\n/usr\n');
      });

      test('begin in the workspace', async () => {
        expect((await machine.exec('pwd')).stdout).toBe('/workspace\n');
      });

      test('run as the user that is named, by name and by number', async () => {
        expect((await machine.exec('id -un', { user: 'nobody' })).stdout).toBe('nobody\n');
        expect((await machine.exec('id -u; id -g', { user: '1234:4321' })).stdout).toBe('1234\n4321\n');
      });

      test('read all of what they are given on standard input, and its end', async () => {
        const bytes = randomBytes(300_000);
        const { stdout } = await machine.exec('sha256sum', { stdin: bytes });
        expect(stdout).toContain(createHash('sha256').update(bytes).digest('hex'));
        const streamed = await machine.exec('cat', { stdin: Readable.from(['one ', 'two']) });
        expect(streamed.stdout).toBe('one two');
      });

      test('have an empty standard input where nothing is given', async () => {
        expect((await machine.exec('wc -c')).stdout.trim()).toBe('0');
      });

      test('may end before they have read their input', async () => {
        expect((await machine.exec('true', { stdin: randomBytes(1_000_000) })).exitCode).toBe(0);
      });

      test('tell the signal that ended them', async () => {
        expect(await machine.exec('kill -KILL $$')).toMatchObject({ exitCode: 137, signal: 'SIGKILL' });
        expect(await machine.exec('kill -TERM $$')).toMatchObject({ exitCode: 143, signal: 'SIGTERM' });
      });

      test('that do not exist are an error of their own', async () => {
        await expect(machine.exec('no-such-program', { args: [] })).rejects.toMatchObject({
          code: 'COMMAND_NOT_FOUND',
        });
        expect((await machine.exec('no-such-program')).exitCode).toBe(127);
      });

      test('are killed when their time is over, with their whole process group', async () => {
        const command = 'echo $$ >/tmp/group; sleep 1000 & sleep 1000';
        await expect(machine.exec(command, { timeoutMs: 300 })).rejects.toMatchObject({ code: 'TIMEOUT' });
        const left =
          'pid=$(cat /tmp/group); for i in 1 2 3 4 5; do kill -0 -$pid 2>/dev/null || exit 0; sleep 1; done; exit 1';
        expect((await machine.exec(left)).exitCode).toBe(0);
      });

      test('are killed when the caller gives up', async () => {
        const controller = new AbortController();
        const running = machine.exec('sleep 1000', { signal: controller.signal });
        setTimeout(() => controller.abort(new Error('enough')), 200);
        await expect(running).rejects.toThrow('enough');
      });

      test('whose output is too large are ended, and it is said', async () => {
        const running = machine.exec('yes', { maxOutputBytes: 100_000 });
        await expect(running).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
      });

      test('do not wait for what they left in the background', async () => {
        const { stdout } = await machine.exec('sleep 1000 & echo $!');
        const pid = Number(stdout);
        expect((await machine.exec(`kill -0 ${pid} && kill ${pid}`)).exitCode).toBe(0);
      });

      test('run at the same time, each with its own streams', async () => {
        const numbers = Array.from({ length: 24 }, (_, index) => index);
        const results = await Promise.all(
          numbers.map(n =>
            machine.exec(`read line; sleep 0.1; echo $line-${n}; exit ${n}`, { stdin: `in${n}\n` }),
          ),
        );
        expect(results.map(({ stdout }) => stdout)).toEqual(numbers.map(n => `in${n}-${n}\n`));
        expect(results.map(({ exitCode }) => exitCode)).toEqual(numbers);
      });
    });

    describe('streams', () => {
      test('come as they are written', async () => {
        const run = await machine.execStream('read a; echo got $a; read b; echo got $b >&2', {
          stdin: 'pipe',
        });
        const output = run.stdout.setEncoding('utf8')[Symbol.asyncIterator]();
        run.stdin?.write('one\n');
        expect((await output.next()).value).toBe('got one\n');
        run.stdin?.end('two\n');
        expect(await text(run.stderr)).toBe('got two\n');
        expect((await run.exit).exitCode).toBe(0);
      });

      test('hold the command back while nobody reads', async () => {
        const script =
          'n=0; while [ $n -lt 400 ]; do head -c 100000 /dev/zero; n=$((n+1)); echo $n >/tmp/written; done';
        const run = await machine.execStream(script);
        await new Promise(resolve => setTimeout(resolve, 1_500));
        const written = Number((await machine.exec('cat /tmp/written 2>/dev/null || echo 0')).stdout);
        expect(written).toBeLessThan(400);
        expect((await buffer(run.stdout)).length).toBe(40_000_000);
        run.stderr.resume();
        expect((await run.exit).exitCode).toBe(0);
      });

      test('the command gets the signal that is sent, and may handle it', async () => {
        const run = await machine.execStream(
          "trap 'echo caught; exit 5' USR1; echo up; while :; do sleep 0.1; done",
        );
        const output = run.stdout.setEncoding('utf8')[Symbol.asyncIterator]();
        expect((await output.next()).value).toBe('up\n');
        run.kill('SIGUSR1');
        expect((await output.next()).value).toBe('caught\n');
        run.stderr.resume();
        expect((await run.exit).exitCode).toBe(5);
      });
    });

    describe('terminals', () => {
      test('are terminals of the size that was asked for, and change it', async () => {
        const run = await machine.execInteractive(
          "test -t 0 && test -t 1 && test -t 2 && echo yes; stty size; trap 'stty size; exit 3' WINCH; echo up; while :; do sleep 0.1; done",
          { rows: 30, cols: 100 },
        );
        let shown = '';
        run.stdout.on('data', chunk => {
          shown += chunk;
        });
        while (!shown.includes('up')) await new Promise(resolve => setTimeout(resolve, 20));
        expect(shown).toMatch(/yes\r\n30 100\r\nup\r\n/);
        run.resize(40, 120);
        expect((await run.exit).exitCode).toBe(3);
        expect(shown).toContain('40 120\r\n');
      });

      test('pass on what is typed, Ctrl-C and the end of input among it', async () => {
        const run = await machine.execInteractive(
          "trap 'echo interrupted' INT; echo up; cat; echo over; cat; exit 4",
        );
        let shown = '';
        run.stdout.on('data', chunk => {
          shown += chunk;
        });
        const sees = async (words: string): Promise<void> => {
          while (!shown.includes(words)) await new Promise(resolve => setTimeout(resolve, 20));
        };
        await sees('up');
        run.stdin.write('typed\n');
        await sees('typed\r\ntyped\r\n');
        run.stdin.write('\x03');
        await sees('interrupted');
        await sees('over');
        run.stdin.end();
        expect((await run.exit).exitCode).toBe(4);
      });
    });

    describe('files', () => {
      test('come back as they were written, with their mode', async () => {
        const bytes = randomBytes(100_000);
        await machine.writeFile('/workspace/new/deep/file.bin', bytes, { mode: 0o750 });
        expect(Buffer.from(await machine.readFile('/workspace/new/deep/file.bin')).equals(bytes)).toBe(true);
        expect((await machine.exec('stat -c %a /workspace/new/deep/file.bin')).stdout).toBe('750\n');
        await machine.writeFile('/workspace/new/deep/file.bin', 'short');
        expect(Buffer.from(await machine.readFile('/workspace/new/deep/file.bin')).toString()).toBe('short');
      });

      test('may be large, and are streamed both ways', async () => {
        const hash = createHash('sha256');
        const block = randomBytes(1024 * 1024);
        const blocks = function* (): Generator<Buffer> {
          for (let sent = 0; sent < bulkBytes; sent += block.length) {
            hash.update(block);
            yield block;
          }
        };
        await machine.writeFile('/workspace/bulk', Readable.from(blocks(), { objectMode: false }));
        const back = createHash('sha256');
        for await (const chunk of await machine.readFileStream('/workspace/bulk'))
          back.update(chunk as Buffer);
        expect(back.digest('hex')).toBe(hash.digest('hex'));
        await machine.exec('rm /workspace/bulk');
      });

      test('are listed with kind, size and mode, whatever they are called', async () => {
        await machine.exec(
          'mkdir list && cd list && printf 12345 >plain && chmod 640 plain && mkdir folder && ln -s /etc/passwd link && : >"two\nlines" && : >".hidden ü" && mkfifo pipe',
        );
        const files = await machine.listFiles('/workspace/list');
        expect(files.map(({ name, kind }) => [name, kind])).toEqual([
          ['.hidden ü', 'file'],
          ['folder', 'directory'],
          ['link', 'symlink'],
          ['pipe', 'other'],
          ['plain', 'file'],
          ['two\nlines', 'file'],
        ]);
        expect(files.find(({ name }) => name === 'plain')).toMatchObject({
          path: '/workspace/list/plain',
          sizeBytes: 5,
          mode: 0o640,
          isDir: false,
        });
      });

      test('are found by a glob', async () => {
        await machine.exec('mkdir -p find/a/b && cd find && touch one.ts a/two.ts a/b/three.ts a/b/four.js');
        const paths = async (pattern: string) =>
          (await machine.searchFiles('/workspace/find', pattern)).map(({ path }) =>
            path.slice('/workspace/find/'.length),
          );
        expect(await paths('*.ts')).toEqual(['a/b/three.ts', 'a/two.ts', 'one.ts']);
        expect(await paths('a/*.ts')).toEqual(['a/two.ts']);
        expect(await paths('a/**')).toEqual(['a', 'a/b', 'a/b/four.js', 'a/b/three.ts', 'a/two.ts']);
        expect(await paths('**/[ft]*.?s')).toEqual(['a/b/four.js', 'a/b/three.ts', 'a/two.ts']);
      });

      test('that are not there, or are folders, are errors with a code', async () => {
        await expect(machine.readFile('/workspace/none')).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
        await expect(machine.listFiles('/workspace/none')).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
        await expect(machine.readFile('/workspace')).rejects.toMatchObject({ code: 'FILE_FAILED' });
        await expect(machine.writeFile('/workspace', 'x')).rejects.toMatchObject({ code: 'FILE_FAILED' });
      });

      test('a link leads to a file of the machine, never of the host, and is replaced by a write', async () => {
        await machine.exec('echo inside >/tmp/target; ln -sf /tmp/target /workspace/link-out');
        expect(Buffer.from(await machine.readFile('/workspace/link-out')).toString()).toBe('inside\n');
        await machine.writeFile('/workspace/link-out', 'mine');
        expect((await machine.exec('cat /tmp/target; test -L link-out || echo plain')).stdout).toBe(
          'inside\nplain\n',
        );
      });
    });

    describe('its end', () => {
      test(
        'comes with stop, and is told to who waits; commands then say that it does not run',
        async () => {
          const other = await open();
          try {
            expect(other.pid).toEqual(expect.any(Number));
            const waiting = other.wait();
            const running = await other.execStream('sleep 1000');
            await other.stop();
            expect(await waiting).toMatchObject({ reason: 'stopped' });
            expect((await running.exit).exitCode).not.toBe(0);
            expect(other.pid).toBeNull();
            await expect(other.exec('true')).rejects.toMatchObject({ code: 'VM_NOT_RUNNING' });
            await other.stop();
          } finally {
            await other.close();
          }
        },
        timeoutMs,
      );

      test(
        'gives commands time to end in order, where it is asked to',
        async () => {
          const other = await open();
          try {
            const run = await other.execStream(
              "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done",
            );
            const output = run.stdout.setEncoding('utf8')[Symbol.asyncIterator]();
            expect((await output.next()).value).toBe('up\n');
            const stopping = other.stop({ graceMs: 10_000 });
            expect((await output.next()).value).toBe('bye\n');
            await stopping;
          } finally {
            await other.close();
          }
        },
        timeoutMs,
      );
    });
  });
}
