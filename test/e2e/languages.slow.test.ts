/** Languages whose TLS is their own: where one is installed, its programs trust the gateway with nothing set. */
import { execFileSync } from 'node:child_process';
import { facts, Stage } from './stage.js';

const NAME = 'api.example.test';
const stage = new Stage();

beforeAll(() => stage.http2(NAME, (request, response) => response.end(`over ${request.httpVersion}\n`)));
afterAll(() => stage.close());

const JAVA = `import java.net.URI; import java.net.http.*;
public class Get { public static void main(String[] args) throws Exception {
  var client = HttpClient.newHttpClient();
  System.out.print(client.send(HttpRequest.newBuilder(URI.create("https://${NAME}/")).build(), HttpResponse.BodyHandlers.ofString()).body());
} }`;

const GO = `package main
import ("fmt"; "io"; "net/http")
func main() {
  answer, err := http.Get("https://${NAME}/")
  if err != nil { panic(err) }
  body, _ := io.ReadAll(answer.Body)
  fmt.Print(string(body))
}`;

const programs = [
  { name: 'java', file: 'Get.java', source: JAVA, script: 'java Get.java' },
  { name: 'go', file: 'get.go', source: GO, script: 'GOCACHE=/tmp/go GOFLAGS=-mod=mod go run get.go' },
  {
    name: 'perl',
    file: 'get.pl',
    source: `use HTTP::Tiny; my $r = HTTP::Tiny->new(verify_SSL => 1)->get("https://${NAME}/"); die $r->{content} unless $r->{success}; print $r->{content};`,
    script: 'perl get.pl',
  },
].filter(({ name }) => isInstalled(name));

function isInstalled(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    return (
      name !== 'perl' ||
      execFileSync('perl', ['-MIO::Socket::SSL', '-e', 'print 1'], { stdio: 'pipe' }).length > 0
    );
  } catch {
    return false; // Not on this machine: there is nothing to prove.
  }
}

test('at least one of them is here', () => {
  expect(programs.map(({ name }) => name)).not.toEqual([]);
});

for (const { name, file, source, script } of programs) {
  test(`${name} trusts the gateway`, async () => {
    stage.place.file(file, source);
    const { code, stdout, stderr, events } = await stage.sh(script);
    expect(stderr).not.toMatch(/certificate|PKIX/i);
    expect(stdout).toMatch(/^over (1\.1|2\.0)\n$/);
    expect(code).toBe(0);
    expect(facts(events, 'request.done')).toMatchObject([{ host: NAME, status_code: 200 }]);
  }, 180_000);
}
