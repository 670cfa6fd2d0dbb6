import { folderOf, type Import, importedPath, readSources, type SourceFile } from './support/source.js';

/**
 * Where the I/O is: sockets, files, clocks, timers, randomness, child processes and the process itself live in these
 * files and nowhere else. Every other file is pure.
 */
const SHELLS = new RegExp(
  `^(${[
    'core/clock',
    'policy/load',
    'events/(file-sink|lines|log-file|patient|read|rotate)',
    'events/spool/(bookmark|folder|keys|lock|read|segment|spool|tail|trim|verify)',
    'sinks/(credentials|delivery|listen|load|metrics-server|nats|open|open-syslog|post|server|syslog)',
    'secrets/ledger',
    'secrets/sources/(command|feed|file|file-watch|https)',
    'script/(files|task-time|thread|worker)',
    'dns/(client|serve|system-resolver)',
    'net/vestibule/(advertise|arrivals|gate|index|syscalls|tap|tools|warden)',
    'vm/lingering',
    'vm/process/(cgroup|command|enclosure|host|joiner|machine|premises|root|root-files|signals|stage|status|terminal)',
    'vm/qemu/(accel|boot|closure|default-image|guest-exec|guest-files|initramfs|kernel|machine|vmlinux|vmm)',
    'net/bridged',
    'net/forwards/(forwarder|index)',
    'vm/qemu/shares',
    'vm/images/(blobs|decompress|derived|lock|lower|refs|store|write-tree)',
    'vm/images/source/(folder|root-folder|take)',
    'vm/images/registry/(client|logins)',
    'cli/(image|image-build)',
    'vm/trust/host-trust',
    'proxy/(body-guard|peek|serve)',
    'proxy/limits/(descriptors|pacer|shares)',
    'proxy/scripted/relay-messages',
    'proxy/http1/(content-reader|deadline|server-connection)',
    'proxy/http2/session',
    'proxy/tls/(ca-store|server-context|shared-reads|terminate)',
    'proxy/websocket/guarded',
    'proxy/upstream/(dial|h2-connection|trust|upstream|via-proxy)',
    'gateway|gateway/tenant',
    'cli/events/(log|paper)',
    'api/version',
    'cli/(demo|doctor|io|main|paths|run|run-machine|script|secrets|setup|sinks|spool|vm|vm-create|vm-exec|vm-logs|log-text)',
    'runtime/(collector|console-log|control-client|control-server|file-watch|launch|locks|network|runtime|sandbox|socket-path|store|supervise|supervisor)',
  ].join('|')})\\.c?ts$`,
);

/** The import ladder: a folder may import itself and these. */
const MAY_IMPORT: ReadonlyMap<string, readonly string[]> = new Map([
  ['core', []],
  ['policy', ['core']],
  ['events', ['core', 'policy']],
  ['sinks', ['core', 'policy', 'events']],
  ['secrets', ['core']],
  ['script', ['core', 'policy']],
  ['dns', ['core', 'policy']],
  ['net', ['core']],
  ['vm', ['core', 'net']],
  ['proxy', ['core', 'policy', 'secrets', 'dns', 'net', 'events']],
  ['gateway', ['core', 'policy', 'secrets', 'script', 'dns', 'net', 'vm', 'proxy', 'events']],
  [
    'runtime',
    ['core', 'policy', 'secrets', 'script', 'dns', 'net', 'vm', 'proxy', 'events', 'sinks', 'gateway'],
  ],
  [
    'api',
    [
      'core',
      'policy',
      'secrets',
      'script',
      'dns',
      'net',
      'vm',
      'proxy',
      'events',
      'sinks',
      'gateway',
      'runtime',
    ],
  ],
  [
    'cli',
    [
      'core',
      'policy',
      'secrets',
      'script',
      'dns',
      'net',
      'vm',
      'proxy',
      'events',
      'sinks',
      'gateway',
      'runtime',
      'api',
    ],
  ],
]);

/** Modules that reach outside, whatever is imported from them. */
const OUTSIDE =
  /^(node:(fs|net|tls|https?|http2|dgram|child_process|dns|timers|worker_threads|os|v8|readline|tty|cluster)(\/.*)?|koffi)$/;

/** Of these, only what is pure: questions about text. */
const PURE_NAMES: ReadonlySet<string> = new Set(['isIP', 'isIPv4', 'isIPv6']);

/** What makes `node:crypto` a source of randomness. */
const RANDOM_NAMES = /^(random(Bytes|UUID|Fill|FillSync|Int)|getRandomValues|generateKey.*)$/;

const sources = readSources('src');
const byPath = new Map(sources.map(file => [file.path, file]));

function isOutside({ from, typeOnly, names }: Import): boolean {
  if (typeOnly) return false;
  if (from === 'node:crypto') return names.some(name => RANDOM_NAMES.test(name));
  if (from === 'node:process') return true;
  return OUTSIDE.test(from) && !(names.length > 0 && names.every(name => PURE_NAMES.has(name)));
}

/** What makes `file` a shell; empty for a pure file. */
function outsideOf({ imports, touches }: SourceFile): readonly string[] {
  return [...imports.filter(isOutside).map(({ from }) => from), ...touches];
}

test('every folder imports only what stands below it on the ladder', () => {
  const offences = sources.flatMap(file => {
    const folder = folderOf(file.path);
    const allowed = MAY_IMPORT.get(folder);
    if (allowed === undefined) return [`${file.path}: ${folder} is not on the ladder`];
    return file.imports.flatMap(imported => {
      const path = importedPath(file, imported);
      const target = path === null ? folder : folderOf(path);
      return target === folder || allowed.includes(target) ? [] : [`${file.path} imports ${path}`];
    });
  });
  expect(offences).toEqual([]);
});

test('every relative import leads to a file', () => {
  const offences = sources.flatMap(file =>
    file.imports.flatMap(imported => {
      const path = importedPath(file, imported);
      return path === null || byPath.has(path) ? [] : [`${file.path} imports ${imported.from}`];
    }),
  );
  expect(offences).toEqual([]);
});

test('no file imports itself by way of others at run time', () => {
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path))
      return void cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
    const file = byPath.get(path);
    if (done.has(path) || file === undefined) return;
    for (const imported of file.imports) {
      const next = imported.typeOnly ? null : importedPath(file, imported);
      if (next !== null) walk(next, [...trail, path]);
    }
    done.add(path);
  };
  for (const { path } of sources) walk(path, []);
  expect(cycles).toEqual([]);
});

test('every file is pure unless the one expression names it a shell', () => {
  const hidden = sources
    .filter(file => !SHELLS.test(file.path) && outsideOf(file).length > 0)
    .map(file => `${file.path}: ${outsideOf(file).join(', ')}`);
  expect(hidden).toEqual([]);
});

test('every file that the expression names is one', () => {
  const named = sources.filter(file => SHELLS.test(file.path) && outsideOf(file).length === 0);
  expect(named.map(file => file.path)).toEqual([]);
});

test('no file is longer than 400 lines, and the median is at most 120', () => {
  expect(sources.filter(file => file.lines > 400).map(file => `${file.path}: ${file.lines}`)).toEqual([]);
  const lengths = sources.map(file => file.lines).sort((a, b) => a - b);
  expect(lengths[lengths.length >> 1]).toBeLessThanOrEqual(120);
});

test('no function is longer than 60 lines', () => {
  const long = sources.flatMap(file =>
    file.functions.filter(({ lines }) => lines > 60).map(f => `${file.path}:${f.line} ${f.name}: ${f.lines}`),
  );
  expect(long).toEqual([]);
});

test('core stays at eight files, and nothing is called utils or helpers', () => {
  expect(sources.filter(file => folderOf(file.path) === 'core').length).toBeLessThanOrEqual(8);
  expect(sources.filter(file => /util|helper|misc|common/i.test(file.path)).map(file => file.path)).toEqual(
    [],
  );
});

const HABITS = [
  {
    name: 'begins with what it is',
    offends: (file: SourceFile) => !/^(\/\/[^\n]*\n)?\/\*\*/.test(file.text),
  },
  {
    name: 'leaves no note for later',
    offends: (file: SourceFile) => /\b(TODO|FIXME|XXX|HACK)\b/.test(file.text),
  },
  {
    name: 'swallows nothing in silence',
    offends: (file: SourceFile) => /catch( \([^)]*\))? \{\s*\}/.test(file.text),
  },
  {
    name: 'silences no compiler',
    offends: (file: SourceFile) => /@ts-(ignore|expect-error|nocheck)/.test(file.text),
  },
  {
    name: 'prints only from the command line',
    offends: (file: SourceFile) => folderOf(file.path) !== 'cli' && /\bconsole\.\w+\(/.test(file.text),
  },
];

for (const { name, offends } of HABITS) {
  test(`every source file ${name}`, () => {
    expect(sources.filter(offends).map(file => file.path)).toEqual([]);
  });
}
