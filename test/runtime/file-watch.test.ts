import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileEvent } from '../../src/events/event.js';
import { FileWatch } from '../../src/runtime/file-watch.js';

let folder: string;
let told: FileEvent[];
let full: number;
let files: FileWatch;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-watch-'));
  told = [];
  full = 0;
  files = new FileWatch(
    file => told.push(file),
    () => {
      full += 1;
    },
  );
});
afterEach(async () => {
  await files.close();
  rmSync(folder, { recursive: true, force: true });
});

async function until(op: FileEvent['op'], path: string): Promise<FileEvent> {
  for (;;) {
    const found = told.find(file => file.op === op && file.path === path);
    if (found !== undefined) return found;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

test('files that come, change, move and go are told, by their paths in the sandbox', async () => {
  writeFileSync(join(folder, 'old'), 'was here');
  await files.add({ hostPath: folder, guestPath: '/workspace' });
  writeFileSync(join(folder, 'new'), '12345', { mode: 0o640 });
  expect(await until('create', '/workspace/new')).toMatchObject({ size: 5, mode: 0o640 });
  writeFileSync(join(folder, 'new'), '1234567');
  expect(await until('write', '/workspace/new')).toMatchObject({ size: 7 });
  chmodSync(join(folder, 'old'), 0o600);
  expect(await until('write', '/workspace/old')).toMatchObject({ mode: 0o600 });
  renameSync(join(folder, 'old'), join(folder, 'moved'));
  await until('create', '/workspace/moved');
  expect(await until('remove', '/workspace/old')).toMatchObject({ size: null, mode: null });
  expect(told.filter(({ op, path }) => op === 'create' && path.endsWith('/old'))).toEqual([]);
});

test('what is in new folders is told, and links are told and not followed', async () => {
  await files.add({ hostPath: folder, guestPath: '/workspace' });
  mkdirSync(join(folder, 'a', 'b'), { recursive: true });
  writeFileSync(join(folder, 'a', 'b', 'deep'), 'x');
  await until('create', '/workspace/a/b/deep');
  symlinkSync('/etc', join(folder, 'link'));
  expect(await until('create', '/workspace/link')).toMatchObject({ size: null });
  rmSync(join(folder, 'a'), { recursive: true });
  await until('remove', '/workspace/a');
  expect(told.some(({ path }) => path.startsWith('/workspace/link/'))).toBe(false);
});

test('there is an end to what is watched, and it is told once', async () => {
  for (let at = 0; at < 1_200; at++) mkdirSync(join(folder, `d${at}`));
  await files.add({ hostPath: folder, guestPath: '/workspace' });
  expect(full).toBe(1);
});
