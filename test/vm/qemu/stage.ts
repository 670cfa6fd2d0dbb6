/** A real guest for tests: the default image, made once for all of them. */
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Agent } from '../../../src/vm/qemu/agent/agent.js';
import type { Channel, ChannelExit } from '../../../src/vm/qemu/agent/channel.js';

/** Of this user's tests; it stays, because a kernel is a download. */
export function guestHome(): string {
  const folder =
    process.env.SALLYPORT_TEST_GUEST ?? join(tmpdir(), `sallyport-test-guest-${process.getuid?.() ?? 0}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

export interface Ran extends ChannelExit {
  readonly stdout: string;
  readonly stderr: string;
}

export function openExec(agent: Agent, argv: readonly string[], { user = '', folder = '' } = {}): Channel {
  return agent.open('exec', ['0', '0', user, folder, String(argv.length), ...argv]);
}

export async function ran(channel: Channel, input: string | Uint8Array = ''): Promise<Ran> {
  channel.stdin.end(input);
  const [stdout, stderr, exit] = await Promise.all([
    text(channel.stdout),
    text(channel.stderr),
    channel.exit,
  ]);
  return { ...exit, stdout, stderr };
}
