import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../../../src/net/vestibule/index.js';
import { emitEnter, emitHold, type ProgramArch } from '../../../src/vm/process/programs.js';

/** ELF header and one segment's. */
const TEXT_START = 120;
const PREFIX: Readonly<Record<ProgramArch, string>> = {
  x64: process.arch === 'x64' ? '' : 'x86_64-linux-gnu-',
  arm64: process.arch === 'arm64' ? '' : 'aarch64-linux-gnu-',
};

function assembled(name: string, arch: ProgramArch): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-assembled-'));
  try {
    const source = join(__dirname, '../../../guest/programs', `${name}.${arch}.s`);
    execFileSync(`${PREFIX[arch]}as`, [source, '-o', join(folder, 'object')]);
    execFileSync(`${PREFIX[arch]}objcopy`, [
      '-O',
      'binary',
      '-j',
      '.text',
      join(folder, 'object'),
      join(folder, 'text'),
    ]);
    return readFileSync(join(folder, 'text'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe.each(['x64', 'arm64'] as const)('the programs for %s', arch => {
  // binutils are on developers' machines; the others have the bytes.
  const run = findProgram(`${PREFIX[arch]}as`, process.env.PATH) === null ? test.skip : test;
  run.each([
    ['hold', emitHold],
    ['enter', emitEnter],
  ] as const)('are what their source says: %s', (name, emit) => {
    const program = Buffer.from(emit(arch));
    expect(program.subarray(TEXT_START).toString('hex')).toBe(assembled(name, arch).toString('hex'));
    expect(program.readBigUInt64LE(96)).toBe(BigInt(program.length));
    expect(program.readUInt16LE(18)).toBe(arch === 'x64' ? 62 : 183);
  });
});
