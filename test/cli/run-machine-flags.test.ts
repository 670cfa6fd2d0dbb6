import { Workplace } from '../support/cli.js';

test.each([
  ['--volume', '/srv:data', 'only with an image: --volume. Add --image, or --vm'],
  ['--publish', '8080:80', 'only with an image: --publish. Add --image, or --vm'],
  ['--registry', 'registry.example.test', 'only with an image: --registry. Add --image, or --vm'],
  ['--pull', 'never', 'only with an image: --pull. Add --image, or --vm'],
  ['--network', 'disabled', 'only with an image: --network. Add --image, or --vm'],
  ['--cpus', '0', "--cpus: '0' is not a number above zero"],
  ['--memory', '1.5', "--memory: '1.5' is not a whole number above zero"],
  ['--pids', 'x', "--pids: 'x' is not a whole number above zero"],
  ['--disk', '1024', 'only for a machine: --disk. Add --vm'],
  ['--accel', 'tcg', 'only for a machine: --accel. Add --vm'],
])(
  'sallyport run refuses %s %s where it has nothing to act on, and runs nothing',
  async (flag, value, says) => {
    const work = new Workplace();
    try {
      const { code, stdout, stderr } = await work.sallyport(['run', flag, value, '--', 'echo', 'ran']);
      expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
      expect(stderr).toContain(says);
    } finally {
      work.remove();
    }
  },
);

test.each([
  ['--disk', '1024', 'only for a machine: --disk. Add --vm'],
  ['--accel', 'tcg', 'only for a machine: --accel. Add --vm'],
  ['--bind', '/srv', 'not for --image: take --volume'],
  ['--network', 'bridged', 'past the gateway'],
])('sallyport run --image refuses %s %s, and runs nothing', async (flag, value, says) => {
  const work = new Workplace();
  try {
    const { code, stdout, stderr } = await work.sallyport([
      'run',
      '--image',
      'x',
      flag,
      value,
      '--',
      'echo',
      'ran',
    ]);
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).toContain(says);
  } finally {
    work.remove();
  }
});
