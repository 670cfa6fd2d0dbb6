import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { machineContract } from '../contract.js';
import { imageContract } from '../image-contract.js';
import { createMachine, guestHome, removeFolders } from './stage.js';

machineContract({
  name: 'a machine under QEMU',
  async open() {
    const machine = await createMachine();
    await machine.start();
    return machine;
  },
  timeoutMs: 180_000,
});

const temporaries: string[] = [];

imageContract({
  name: 'a machine under QEMU',
  // The kernel is the common home's: a home of its own would fetch one.
  async open({ homeDir: _own, ...overrides }) {
    const machine = await createMachine({ ...overrides, homeDir: guestHome() });
    await machine.start();
    return machine;
  },
  temporary(name) {
    const folder = mkdtempSync(join(tmpdir(), `sallyport-${name}-`));
    temporaries.push(folder);
    return folder;
  },
  timeoutMs: 180_000,
});

afterAll(() => {
  removeFolders();
  for (const folder of temporaries) rmSync(folder, { recursive: true, force: true });
});
