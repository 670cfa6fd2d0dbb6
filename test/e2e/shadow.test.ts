/** `mode: shadow` behind a real sandbox: rules refuse nothing and say what they would; everything else holds. */
import { expectInvariants, facts, Stage } from './stage.js';

const NAME = 'api.example.test';
const OTHER = 'other.example.test';
const TOKEN = 'shadow-real-value-0123456789';
const stage = new Stage();

beforeAll(async () => {
  for (const name of [NAME, OTHER]) {
    await stage.https(
      name,
      (request, response) => {
        response.end(`${name} ${request.headers['x-key'] === TOKEN ? 'value' : 'none'}\n`);
      },
      { denied: true },
    );
  }
  stage.env.TOKEN = TOKEN;
  stage.flags.push('--secret', `TOKEN@${NAME}`);
  const rules = `allow_domain: [{ domain: ${NAME}, methods: [GET] }]\ndeny_domain: [bad.example.test]\n`;
  stage.flags.push('--policy', stage.place.file('shadow.yaml', `mode: shadow\n${rules}`));
});
afterAll(() => stage.close());

test('what rules would refuse passes, and its events say which rule and why', async () => {
  const { code, stdout, stderr, events } = await stage.sh(
    `curl -sS https://${OTHER}/a; curl -sS -X POST -H "X-Key: $TOKEN" https://${NAME}/b; curl -sS https://${NAME}/c`,
  );
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${OTHER} none\n${NAME} value\n${NAME} none\n` });
  const [other, post, get] = facts(events, 'request.done');
  expect(other).toMatchObject({ decision: 'allow', would_deny: 'no-rule', rule: 'mode', blocked: false });
  expect(post).toMatchObject({
    would_deny: 'method-not-allowed',
    rule: 'allow_domain[0]',
    secrets: ['TOKEN'],
  });
  expect(get).not.toHaveProperty('would_deny');
  expect(facts(events, 'dns.answered')).toContainEqual(
    expect.objectContaining({ host: OTHER, would_deny: 'no-rule' }),
  );
  expect(facts(events, 'flow.opened')).toContainEqual(
    expect.objectContaining({ host: OTHER, would_deny: 'no-rule' }),
  );
  expectInvariants(events);
  const [loaded] = events.filter(({ type }) => type === 'policy.loaded');
  expect(loaded?.gateway?.detail).toContainEqual(expect.stringMatching(/^mode: shadow enforces no rule/));
  expect(stderr).toMatch(/^sallyport: WARNING: mode: shadow enforces no rule/m);
  expect(stderr).toMatch(
    /would refuse POST https:\/\/api\.example\.test\/b \(method-not-allowed by allow_domain\[0\]\)/,
  );
  expect(stderr).toMatch(/3 requests?.* would have been \(mode: shadow\)|would have been/);
});

test('a leak, private addresses, metadata and local names are refused as ever', async () => {
  const { stdout, events } = await stage.sh(
    `for url in http://10.0.0.1/ http://169.254.169.254/latest http://127.0.0.1.example.test/; do
       curl -s -o /dev/null -w '%{http_code} ' --max-time 10 $url; done
     curl -s https://printer.local/ || echo -n 'no-local '
     curl -sS -H "X-Key: $TOKEN" https://${OTHER}/leak`,
  );
  expect(stdout).toMatch(/^403 403 /);
  expect(stdout).toContain('no-local');
  expect(stdout).toContain('ErrSecretLeak');
  expect(facts(events, 'request.refused')).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ host: '10.0.0.1', reason: 'private-address' }),
      expect.objectContaining({ host: '169.254.169.254', reason: 'metadata-address' }),
      expect.objectContaining({ host: OTHER, reason: 'secret-leak' }),
    ]),
  );
  expect(facts(events, 'dns.refused')).toContainEqual(
    expect.objectContaining({ host: 'printer.local', reason: 'private-address' }),
  );
  expectInvariants(events);
});

test('a quiet run in shadow says that it enforces nothing, and no more', async () => {
  const { stderr } = await stage.sh(`curl -sS https://${OTHER}/`, { flags: ['--quiet'], events: false });
  expect(stderr).toMatch(/^sallyport: WARNING: mode: shadow [^\n]*\n$/);
});

test('explain tells what passes in shadow and would be refused', async () => {
  const policy = stage.flags.at(-1) ?? '';
  const { code, stdout } = await stage.place.sallyport([
    'explain',
    '--policy',
    policy,
    'https://bad.example.test/',
  ]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^allowed by mode shadow, refused once it is enforced: /);
  expect(stdout).toMatch(/would be refused: deny-rule by deny_domain\[0\]/);
});
