import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Vestibule } from '../../../src/net/vestibule/index.js';
import { startCommand } from '../../../src/vm/index.js';
import { openDoor, run, sh, specOf } from '../door.js';

const QUIET = { stdout: 'ignore', stderr: 'ignore' } as const;

let door: Vestibule;
let folder: string;

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-command-')));
  mkdirSync(join(folder, 'state'), { mode: 0o700 });
  writeFileSync(join(folder, 'state', 'ca.key'), 'the key');
  writeFileSync(join(folder, 'plain'), 'not a program');
  door = await openDoor();
});

afterAll(async () => {
  await door.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('the exit code', () => {
  const cases = [
    ['is 0 for a command that succeeds', 'exit 0', 0],
    ['is the command’s own', 'exit 37', 37],
    ['is 125 if that is the command’s own', 'exit 125', 125],
    ['is 128 + n for a command that a signal ended', 'kill -KILL $$', 137],
  ] as const;
  test.each(cases)('%s', async (_name, script, code) => {
    expect((await run(door, sh(script))).code).toBe(code);
  });

  test.each([
    ['nothing-is-called-this', 'COMMAND_NOT_FOUND'],
    ['/nowhere/at/all', 'COMMAND_NOT_FOUND'],
    ['', 'COMMAND_NOT_FOUND'],
    ['/etc/passwd', 'COMMAND_NOT_EXECUTABLE'],
    ['/etc', 'COMMAND_NOT_EXECUTABLE'],
  ])('is an error before anything starts for %p', async (command, code) => {
    await expect(run(door, [command])).rejects.toMatchObject({ code });
  });

  test('is an error that names the host’s file where the sandbox does not see it', async () => {
    const tool = join(folder, 'tool');
    writeFileSync(tool, '#!/bin/sh\necho ran\n');
    chmodSync(tool, 0o755);
    await expect(run(door, [tool])).rejects.toThrow(/which the sandbox does not see/);
    const bound = await run(door, [tool], { binds: [{ source: folder, target: folder, writable: false }] });
    expect(bound.stdout).toBe('ran\n');
  });

  test('is 125 where the sandbox cannot be made, with the reason on standard error', async () => {
    const ran = await run(door, sh('true'), {
      binds: [{ source: '/etc', target: '/usr/not/there', writable: false }],
    });
    expect(ran).toMatchObject({ code: 125, stderr: expect.stringContaining('bwrap') });
  });
});

describe('what a command is given', () => {
  test('is its arguments as they are, its whole environment, and standard input to its end', async () => {
    const command = await startCommand(
      door.cell,
      specOf(['sh', '-c', 'printf "%s|" "$0" "$@"; echo; env; cat', 'a b', '', '*', 'ü'], {
        env: new Map([
          ['PATH', '/usr/bin:/bin'],
          ['ODD', 'line\nbreak = $x'],
        ]),
        stdin: 'pipe',
        stderr: 'ignore',
      }),
    );
    command.stdin?.end('the input');
    const output = command.stdout === null ? '' : await text(command.stdout);
    expect(output).toContain('a b||*|ü|');
    expect(output).toContain('ODD=line\nbreak = $x\n');
    expect(output.endsWith('the input')).toBe(true);
    const names = Array.from(output.matchAll(/^(\w+)=/gm), ([, name]) => name);
    expect(names.sort()).toEqual(['ODD', 'PATH', 'PWD']);
  });

  test('is refused if a variable would be read as options', async () => {
    const env = new Map([['X', 'a\0--bind\0/\0/']]);
    await expect(run(door, sh('true'), { env })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test('is no descriptor of whoever started the gateway', async () => {
    const probe = 'ls /proc/self/fd | wc -l';
    const plain = await run(door, sh(probe));
    expect(plain.stdout.trim()).toBe('4');
  });

  test('is the resolver of the door and no name but its own', async () => {
    const { stdout } = await run(
      door,
      sh('cat /etc/resolv.conf; grep -c . /etc/hosts; hostname 2>/dev/null || cat /proc/sys/kernel/hostname'),
    );
    expect(stdout).toBe('nameserver 198.19.255.253\n2\nsallyport\n');
  });
});

describe('what a command sees of the files', () => {
  test('is a root that it cannot write, and folders of its own', async () => {
    const { stdout } = await run(
      door,
      sh(
        'echo x >/etc/sallyport-test && echo wrote; touch /tmp/a /var/tmp/a "$HOME/a" && ls /tmp /var/tmp $HOME; ls -A /run',
      ),
    );
    expect(stdout).toBe('/home/sandbox:\na\n\n/tmp:\na\n\n/var/tmp:\na\n');
  });

  test('is its working directory, writable, with what is hidden in it hidden', async () => {
    const { stdout } = await run(door, sh('pwd; ls -A state; echo made >out; cat plain'), {
      workdir: folder,
      hide: [join(folder, 'state')],
    });
    expect(stdout).toBe(`${folder}\nnot a program`);
    expect(readFileSync(join(folder, 'out'), 'utf8')).toBe('made\n');
  });

  test.each([true, false])(
    'hides the state folder under any name that a bind gives it (everything bound: %p)',
    async all => {
      const link = join(folder, `link-${all}`);
      symlinkSync(join(folder, 'state'), link);
      const { stdout } = await run(
        door,
        sh(`cat /mnt/state/ca.key ${folder}/state/ca.key ${link}/ca.key; echo end`),
        {
          noFsIsolation: all,
          workdir: folder,
          hide: [link],
          binds: [{ source: folder, target: '/mnt', writable: true }],
        },
      );
      expect(stdout).toBe('end\n');
    },
  );

  test('never is the state folder itself', async () => {
    const binds = [{ source: join(folder, 'state'), target: '/mnt', writable: false }];
    await expect(run(door, sh('true'), { binds, hide: [join(folder, 'state')] })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });

  test('is none of the host’s sockets, not even in a folder that is bound', async () => {
    const path = join(folder, 'daemon.sock');
    const server = createServer(socket => socket.end('the daemon')).listen(path);
    await new Promise(resolve => server.once('listening', resolve));
    const probe = `require('node:net').connect(${JSON.stringify(path)}).on('data', d => console.log(String(d))).on('error', e => console.log(e.code))`;
    const { stdout } = await run(door, [process.execPath, '-e', probe], { workdir: folder });
    server.close();
    expect(stdout).toMatch(/^E[A-Z]+\n$/);
  });

  test('is nothing of the kernel’s that changes the host', async () => {
    const script =
      'for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/swappiness /sys/kernel/uevent_helper; do (: >>$f) 2>/dev/null && echo $f; done; echo end';
    for (const noFsIsolation of [false, true]) {
      expect((await run(door, sh(script), { noFsIsolation })).stdout).toBe('end\n');
    }
  });

  test('is given files, over the host’s and beside them', async () => {
    const { stdout } = await run(door, sh('cat /etc/passwd /run/sallyport/x'), {
      files: [
        { path: '/etc/passwd', content: Buffer.from('ours\n') },
        { path: '/run/sallyport/x', content: Buffer.alloc(300_000, 'y') },
        { path: '/etc/not-on-the-host', content: Buffer.from('never made') },
      ],
    });
    expect(stdout.length).toBe('ours\n'.length + 300_000);
  });
});

describe('what a command sees of the processes', () => {
  test('is itself only: not the gateway, its environment, or who it could signal', async () => {
    const { stdout } = await run(
      door,
      sh(`ls -d /proc/[0-9]* | wc -l; kill -0 ${process.pid} 2>/dev/null && echo signalled; echo end`),
    );
    expect(stdout).toMatch(/^[2-6]\nend\n$/);
  });

  test('is no way to push keys into the terminal, open odd sockets or nest namespaces', async () => {
    const probe = spawnSync('/usr/bin/perl', ['-e', '1']).status === 0;
    if (!probe) return; // perl is the smallest way to make a bare system call; the program itself is tested elsewhere
    const script = `
      use Socket; $! = 0; my $key = "x"; ioctl(STDIN, 0x5412, $key); print $!+0, "\\n";
      $! = 0; socket(my $v, 40, 1, 0); print $!+0, "\\n"; $! = 0; socket(my $a, 38, 5, 0); print $!+0, "\\n";
      print socket(my $u, AF_UNIX, SOCK_STREAM, 0) ? "fine\\n" : "none\\n";`;
    const { stdout } = await run(door, ['/usr/bin/perl', '-e', script]);
    expect(stdout).toBe('1\n97\n97\nfine\n');
  });
});

describe('a running command', () => {
  test.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1'] as const)(
    'gets %s itself, and may handle it',
    async signal => {
      const name = signal.slice('SIG'.length);
      const command = await startCommand(
        door.cell,
        specOf(sh(`trap 'echo got ${name}; exit 9' ${name}; echo ready; while :; do sleep 0.02; done`), {
          stderr: 'ignore',
        }),
      );
      let output = '';
      command.stdout?.on('data', (data: Buffer) => {
        output += String(data);
        if (output === 'ready\n') command.kill(signal);
      });
      expect(await command.exit).toEqual({ code: 9, signal: null });
      expect(output).toBe(`ready\ngot ${name}\n`);
    },
  );

  test('ends by a signal that it does not handle, as a shell would say it', async () => {
    const command = await startCommand(door.cell, specOf(['sleep', '60'], QUIET));
    command.kill('SIGTERM');
    expect((await command.exit).code).toBe(143);
  });

  test('ends by a signal that comes as soon as there is a process for it', async () => {
    const codes: number[] = [];
    for (let i = 0; i < 15; i++) {
      const command = await startCommand(door.cell, specOf(['sleep', '60'], QUIET));
      // As often as the loop turns: once in a while it comes between fork and exec.
      let ended = false;
      command.exit.then(() => {
        ended = true;
      });
      while (!ended) {
        command.kill('SIGTERM');
        await new Promise(resolve => setImmediate(resolve));
      }
      codes.push((await command.exit).code);
    }
    expect(codes.filter(code => code !== 143)).toEqual([]);
  });

  test('is ended with all that it started by SIGKILL', async () => {
    const command = await startCommand(door.cell, specOf(sh('sleep 61 & setsid sleep 61 & echo up; wait')));
    command.stderr?.resume();
    await new Promise(resolve => command.stdout?.on('data', resolve));
    command.kill('SIGKILL');
    expect(await command.exit).toEqual({ code: 137, signal: 'SIGKILL' });
  });

  test('is one of many in the same door', async () => {
    const ran = await Promise.all(
      Array.from({ length: 10 }, (_, index) => run(door, sh(`echo ${index}; exit ${index}`))),
    );
    expect(ran.map(({ code, stdout }) => `${code} ${stdout}`)).toEqual(
      Array.from({ length: 10 }, (_, index) => `${index} ${index}\n`),
    );
  });
});
