/**
 * Two programs without libraries, for machines that are made of an image: what an image has in their place is a
 * stranger's, and may not be there at all.
 *
 * Pure: an ELF file of one segment (elf(5)). Their sources are in `guest/programs`, and a test assembles them again.
 */
export type ProgramArch = 'x64' | 'arm64';

interface Code {
  readonly machine: number;
  readonly hold: string;
  readonly enter: string;
}

const CODE: Readonly<Record<ProgramArch, Code>> = {
  x64: {
    machine: 62,
    hold:
      'b801000000bf01000000488d3524000000ba060000000f0531c031ff488d742480ba400000000f0585c07fecb83c0000' +
      '0031ff0f0572656164790a',
    enter:
      '4c8b24244c8d6c24084f8d74e508498b7d08803f747529b8700000000f054885c00f88d9000000b81000000031ffbe0e' +
      '54000031d20f054885c00f88c0000000b851000000bf060000000f054885c00f88ab000000b8a1000000488d3dcf0000' +
      '000f054885c00f8894000000b803000000bf060000000f05b850000000498b7d100f054885c07878b89d000000bf1800' +
      '0000be120000000f054885c07862b89d000000bf18000000be080000000f054885c0784cb87e000000488d3d50000000' +
      '488d35510000000f054885c078324c89f3488b034885c0741581385057443d7507498b4d2048890b4883c308ebe3b83b' +
      '000000498b7d18498d75284c89f20f05b8e7000000bf7e0000000f050f1f400022050820000000000000000000000000' +
      '000000000000000000000000000000002e00',
  },
  arm64: {
    machine: 183,
    hold:
      '080880d2200080d2a1010010c20080d2010000d4e80780d2000080d2e10302d1020880d2010000d41f0000f14cffff54' +
      'a80b80d2000080d2010000d472656164790a',
    enter:
      'f30340f9f4230091950e138bb5220091800640f9000040391fd0017141010054a81380d2010000d4c006f8b7a80380d2' +
      '000080d2c1818ad2020080d2010000d40006f8b7480680d2c00080d2010000d48005f8b7680680d2c0060010010000d4' +
      '0005f8b7280780d2c00080d2010000d4280680d2800a40f9010000d42004f8b7e81480d2000380d2410280d2010000d4' +
      '8003f8b7e81480d2000380d2010180d2010000d4e002f8b7680b80d22003001041030010010000d44002f8b7e10315aa' +
      '03ea8a5283a8a772220040f9020100b4420040b95f00036b61000054821240f9220000f921200091f8ffff17a81b80d2' +
      '800e40f981a20091e20315aa010000d4c80b80d2c00f80d2010000d41f2003d522050820000000000000000000000000' +
      '000000000000000000000000000000002e00',
  },
};

/** The machine's first program: writes `ready`, reads standard input to its end, and ends. */
export function emitHold(arch: ProgramArch): Uint8Array {
  return emitElf(CODE[arch].machine, CODE[arch].hold);
}

/**
 * The last step into a machine, with the arguments MODE FOLDER PROGRAM PWD=FOLDER NAME…: makes the folder on descriptor 6
 * the root, enters FOLDER there, gives up the two capabilities that this took, puts the fourth argument in place of the
 * variable PWD, and becomes PROGRAM. MODE `t`: takes the terminal on standard input first. Exit code 126 where a step
 * fails.
 */
export function emitEnter(arch: ProgramArch): Uint8Array {
  return emitElf(CODE[arch].machine, CODE[arch].enter);
}

const HEADER_LEN = 64;
const SEGMENT_LEN = 56;
const BASE = 0x400000;
const PAGE = 0x1000;
const EXECUTABLE = 2;
const LOAD = 1;
const READ_EXECUTE = 5;
const CURRENT = 1;
/** Class 64 bits, little endian, version 1. */
const IDENT = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

function emitElf(machine: number, code: string): Uint8Array {
  const text = Buffer.from(code, 'hex');
  const start = HEADER_LEN + SEGMENT_LEN;
  const size = BigInt(start + text.length);
  const header = Buffer.alloc(HEADER_LEN);
  IDENT.copy(header);
  header.writeUInt16LE(EXECUTABLE, 16);
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(CURRENT, 20);
  header.writeBigUInt64LE(BigInt(BASE + start), 24);
  header.writeBigUInt64LE(BigInt(HEADER_LEN), 32);
  header.writeUInt16LE(HEADER_LEN, 52);
  header.writeUInt16LE(SEGMENT_LEN, 54);
  header.writeUInt16LE(1, 56);
  const segment = Buffer.alloc(SEGMENT_LEN);
  segment.writeUInt32LE(LOAD, 0);
  segment.writeUInt32LE(READ_EXECUTE, 4);
  for (const [at, value] of [BigInt(BASE), BigInt(BASE), size, size, BigInt(PAGE)].entries()) {
    segment.writeBigUInt64LE(value, 16 + 8 * at);
  }
  return Buffer.concat([header, segment, text]);
}
