/** The flags that add a layer to the policy: of `run`, `explain` and `events replay`. */
import type { Command } from 'commander';

/** For a flag that may be given many times; absent, it is undefined. */
export const collect = (value: string, previous: readonly string[] = []): readonly string[] => [
  ...previous,
  value,
];

export function withPolicyFlags(command: Command): Command {
  return command
    .option(
      '--policy <file>',
      'a policy file, or strict, balanced, open; may be repeated, later ones on top',
      collect,
      [],
    )
    .option('--allow <host[:port]>', 'allow a host (*.x: every name below x)', collect)
    .option('--deny <host[:port]>', 'deny a host, whatever allows it', collect)
    .option('--allow-cidr <block>', 'allow addresses that are dialled as such', collect)
    .option('--deny-cidr <block>', 'deny addresses, whatever name leads to them', collect)
    .option(
      '--add-host <name=ip[:port]>',
      "the operator's own address for a name; it may be private",
      collect,
      [],
    )
    .option(
      '--secret <name[=value]@host[,host]>',
      'a value that only these hosts get; the sandbox holds a placeholder',
      collect,
      [],
    )
    .option('--passthrough <host>', 'let TLS to this host pass unread, by its SNI', collect);
}
