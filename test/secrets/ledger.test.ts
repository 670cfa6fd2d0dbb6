import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runWhose } from '../../src/cli/secrets.js';
import { Ledger } from '../../src/secrets/ledger.js';
import { SecretStore } from '../../src/secrets/store.js';
import { A, loaded, setOf } from './fixtures.js';

let state: string;
let before: string | undefined;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'ledger-'));
  before = process.env.SALLYPORT_STATE;
  process.env.SALLYPORT_STATE = state;
});
afterEach(() => {
  if (before === undefined) delete process.env.SALLYPORT_STATE;
  else process.env.SALLYPORT_STATE = before;
  rmSync(state, { recursive: true });
});

const dir = (): string => join(state, 'placeholders');

function asked(placeholder: string): { code: number; stdout: string; stderr: string } {
  const told: Record<'stdout' | 'stderr', string[]> = { stdout: [], stderr: [] };
  const io = {
    stdout: (text: string) => void told.stdout.push(text),
    stderr: (text: string) => void told.stderr.push(text),
    colour: false,
  };
  const code = runWhose(placeholder, io);
  return { code, stdout: told.stdout.join(''), stderr: told.stderr.join('') };
}

function made(run: string, sandbox: string): string {
  const ledger = Ledger.open(dir());
  const store = new SecretStore(ledger.key, run);
  const placeholder = store.forSandbox(sandbox, setOf(loaded('A', A.value))).placeholderOf('A');
  ledger.record(store.owners(sandbox));
  ledger.record(store.owners(sandbox));
  return placeholder;
}

test('whose names the secret, the sandbox and the run of a placeholder, of this run or an older one', () => {
  const first = made('r1', 'vm-1');
  const second = made('r2', 'vm-2');
  expect(asked(first)).toEqual({ code: 0, stdout: 'secret A, sandbox vm-1, run r1\n', stderr: '' });
  expect(asked(second)).toMatchObject({ code: 0, stdout: 'secret A, sandbox vm-2, run r2\n' });
});

test('whose says that it does not know a placeholder, and that a text is none', () => {
  expect(asked(A.placeholder).code).toBe(1);
  made('r1', 'vm-1');
  expect(asked(A.placeholder).code).toBe(1);
  expect(asked('GWPH_').code).toBe(2);
});

test('the ledger holds names only, once each, and nobody else can read it or its key', () => {
  made('r1', 'vm-1');
  expect(readFileSync(join(dir(), 'ledger'), 'utf8')).toBe('{"run":"r1","sandbox":"vm-1","secret":"A"}\n');
  expect(statSync(join(dir(), 'ledger')).mode & 0o777).toBe(0o600);
  expect(statSync(join(dir(), 'key')).mode & 0o777).toBe(0o600);
  expect(statSync(dir()).mode & 0o777).toBe(0o700);
});

test('a key that others can read is not used', () => {
  made('r1', 'vm-1');
  chmodSync(join(dir(), 'key'), 0o644);
  expect(() => Ledger.open(dir())).toThrow('chmod 600');
  expect(asked(A.placeholder).code).toBe(2);
});
