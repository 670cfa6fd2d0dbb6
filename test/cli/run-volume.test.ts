import { Workplace } from '../support/cli.js';

test.each([
  ['--volume', '/srv:data'],
  ['--publish', '8080:80'],
])('sallyport run refuses %s without --vm, and runs nothing', async (flag, value) => {
  const work = new Workplace();
  try {
    const { code, stdout, stderr } = await work.sallyport(['run', flag, value, '--', 'echo', 'ran']);
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).toContain('--volume and --publish are for --vm');
  } finally {
    work.remove();
  }
});
