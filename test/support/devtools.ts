/**
 * An HTTP Archive as Chromium's own developer tools show it: headless Chromium opens the front-end that it brings, the
 * Network panel imports the file as it does when one is dropped on it, and what it shows is read back.
 *
 * Told over a pipe (`--remote-debugging-pipe`): no port is opened, and no name is looked up.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** A request as the panel has it, and the row that it has in the table. */
export interface ShownRequest {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  /** Null: there is none to show. */
  readonly content: { readonly text: string; readonly base64: boolean } | null;
}

export interface Shown {
  readonly requests: readonly ShownRequest[];
  /** The first two columns of each row: name and status. */
  readonly rows: readonly (readonly [name: string, status: string])[];
}

const FRONT_END = 'devtools://devtools/bundled/devtools_app.html';

const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--no-first-run',
  '--host-resolver-rules=MAP * ~NOTFOUND',
  // The table draws the rows that are in sight, so that all of them have to be.
  '--window-size=1600,2400',
  '--remote-debugging-pipe',
];

export class DevTools {
  readonly #home = mkdtempSync(join(tmpdir(), 'sallyport-devtools-'));
  readonly #chromium: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #last = 0;
  #session: string | undefined;

  constructor() {
    const args = [...FLAGS, `--user-data-dir=${join(this.#home, 'profile')}`, 'about:blank'];
    const env = { ...process.env, HOME: this.#home };
    this.#chromium = spawn('chromium', args, { env, stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    let held = '';
    (this.#chromium.stdio[4] as Readable).setEncoding('utf8').on('data', (chunk: string) => {
      const told = `${held}${chunk}`.split('\0');
      held = told.pop() ?? '';
      for (const text of told) this.#take(JSON.parse(text) as Answer);
    });
    this.#chromium.once('close', () => {
      for (const settle of this.#waiting.values()) settle({ error: { message: 'Chromium ended' } });
    });
  }

  async open(): Promise<void> {
    const { targetId } = await this.#ask('Target.createTarget', { url: FRONT_END });
    const { sessionId } = await this.#ask('Target.attachToTarget', { targetId, flatten: true });
    this.#session = sessionId as string;
    await this.#until(`document.readyState === 'complete' && location.href === '${FRONT_END}'`);
  }

  /** What the Network panel shows of `archive`; it is empty of what it showed before. */
  async show(archive: string, entries: number): Promise<Shown> {
    await this.#evaluate(importing(archive));
    if (entries > 0) await this.#until(`(${ROWS}).length === ${entries}`);
    return (await this.#evaluate(READ)) as Shown;
  }

  async close(): Promise<void> {
    const ended = once(this.#chromium, 'close');
    if (this.#chromium.exitCode === null) {
      await this.#ask('Browser.close', {}).catch(() => undefined);
      await ended;
    }
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }

  async #until(condition: string): Promise<void> {
    while ((await this.#evaluate(condition)) !== true) await new Promise(done => setTimeout(done, 50));
  }

  async #evaluate(expression: string): Promise<unknown> {
    const how = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.#ask('Runtime.evaluate', how);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { readonly value: unknown }).value;
  }

  #ask(method: string, params: object): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        this.#waiting.delete(id);
        if (error === undefined) resolve(result ?? {});
        else reject(new Error(`${method}: ${error.message}`));
      });
      const told = JSON.stringify({ id, method, params, sessionId: this.#session });
      (this.#chromium.stdio[3] as Writable).write(`${told}\0`);
    });
  }

  #take(answer: Answer): void {
    if (answer.id !== undefined) this.#waiting.get(answer.id)?.(answer);
  }
}

interface Answer {
  readonly id?: number;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** As if the file had been dropped on the panel: its own importer reads it. */
function importing(archive: string): string {
  return `(async () => {
    const UI = await import('./ui/legacy/legacy.js');
    const Network = await import('./panels/network/network.js');
    const Logs = await import('./models/logs/logs.js');
    await UI.ViewManager.ViewManager.instance().showView('network');
    Logs.NetworkLog.NetworkLog.instance().reset(false);
    const view = Network.NetworkPanel.NetworkPanel.instance().networkLogView;
    await view.onLoadFromFile(new File([${JSON.stringify(archive)}], 'recorded.har'));
  })()`;
}

/** Cells of the rows in sight, through the shadow trees that the table stands in. */
const ROWS = `(() => {
  const rows = [];
  const walk = node => {
    if (node.tagName === 'TR') rows.push([...node.querySelectorAll('td')].map(cell => cell.innerText));
    if (node.shadowRoot) walk(node.shadowRoot);
    for (const child of node.children) walk(child);
  };
  walk(document.body);
  return rows.filter(([, status]) => /^\\d+$/.test(status ?? ''));
})()`;

const READ = `(async () => {
  const Logs = await import('./models/logs/logs.js');
  const requests = [];
  for (const request of Logs.NetworkLog.NetworkLog.instance().requests()) {
    const data = await request.requestContentData();
    requests.push({
      method: request.requestMethod,
      url: request.url(),
      status: request.statusCode,
      content: 'error' in data ? null : data.isTextContent
        ? { text: data.text, base64: false } : { text: data.base64, base64: true },
    });
  }
  return { requests, rows: (${ROWS}).map(([name, status]) => [name, status]) };
})()`;
