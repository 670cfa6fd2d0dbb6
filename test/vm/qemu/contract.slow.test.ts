import { machineContract } from '../contract.js';
import { createMachine, removeFolders } from './stage.js';

machineContract({
  name: 'a machine under QEMU',
  async open() {
    const machine = await createMachine();
    await machine.start();
    return machine;
  },
  timeoutMs: 180_000,
});

afterAll(removeFolders);
