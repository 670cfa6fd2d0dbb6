/**
 * `--event-sink URL`: a sink with everything but its target at its default. Pure.
 *
 * Whatever needs more than a target (credentials, a filter, other limits) is a sink of the file.
 */
import { err, ok, type Result } from '../core/result.js';
import { quoted } from '../policy/problem.js';

/** The entry of `sinks:` that `text` stands for; its problems are found where those of the file are. */
export function sinkOfUrl(text: string): Result<object, string> {
  const scheme = /^([a-z][a-z0-9+.-]*):/.exec(text)?.[1];
  switch (scheme) {
    case 'https':
    case 'http':
      return ok({ type: 'webhook', url: text });
    case 'file':
      return ok({ type: 'file', path: text.slice('file:'.length).replace(/^\/\/(?=\/)/, '') });
    case 'unix':
      return ok({ type: 'server', listen: text });
    case 'otlp+https':
    case 'otlp+http':
      return ok({ type: 'otlp', url: text.slice('otlp+'.length) });
    case 'syslog':
      return ok({ type: 'syslog', url: text });
    case 'nats':
    case 'tls':
      return ok(natsOf(text));
    default:
      return err(`${quoted(text)} is none of ${FORMS}`);
  }
}

/** `nats://HOST:PORT/SUBJECT`: what follows the slash is no part of where the broker is. */
function natsOf(text: string): object {
  const [, url, subject = ''] = /^([a-z]+:\/\/[^/]*)\/?(.*)$/s.exec(text) ?? [];
  return { type: 'nats', url: url ?? text, ...(subject !== '' && { subject }) };
}

const FORMS =
  'https://…, tls://HOST:PORT/SUBJECT or nats://… (NATS), syslog://HOST[:PORT], otlp+https://…, file:PATH and unix:PATH';
