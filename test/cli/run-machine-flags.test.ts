import { Workplace } from '../support/cli.js';

test.each([
  ['--volume', '/srv:data'],
  ['--publish', '8080:80'],
  ['--image', 'alpine'],
  ['--registry', 'registry.example.test'],
  ['--pull', 'never'],
  ['--cpus', '2'],
  ['--memory', '1024'],
  ['--disk', '1024'],
  ['--accel', 'tcg'],
  ['--network', 'disabled'],
])('sallyport run refuses %s without --vm, and runs nothing', async (flag, value) => {
  const work = new Workplace();
  try {
    const { code, stdout, stderr } = await work.sallyport(['run', flag, value, '--', 'echo', 'ran']);
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).toContain(`only for a machine: ${flag}. Add --vm`);
  } finally {
    work.remove();
  }
});
