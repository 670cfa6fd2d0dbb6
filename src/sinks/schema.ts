/**
 * The file of `--events`: which sinks there are. One zod schema, from which the JSON Schema is published too.
 *
 * Pure. Leaves are checked by the functions that later read them, so that one pass finds every problem.
 */
import { z } from 'zod';
import type { Result } from '../core/result.js';
import { compileFilter } from '../events/filter.js';
import { parseDuration, parseListen, parseSize, parseTarget } from './values.js';

/** A string that `parse` accepts; its sentence becomes the problem. */
function text(parse: (value: string) => Result<unknown, string>, description: string): z.ZodString {
  return z
    .string()
    .superRefine((value, context) => {
      const result = parse(value);
      if (!result.ok) context.addIssue({ code: 'custom', message: result.error });
    })
    .describe(description);
}

const duration = text(parseDuration, 'a duration, as 500ms, 30s, 5m or 12h');
const size = text(parseSize, 'a size, as 64KiB, 100MiB or 2GiB');
const path = z
  .string()
  .min(1)
  .regex(/^[^\0]+$/, { message: 'holds a NUL' });
const environmentName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
  message: 'is not the name of an environment variable',
});

/** Where a credential is read from: never the file itself, never an argument. */
const credential = z
  .strictObject({
    env: environmentName.optional().describe('a variable of the gateway; the sandbox does not get it'),
    file: path.optional().describe('a file; a line feed at its end is left out'),
  })
  .superRefine((value, context) => {
    if ((value.env === undefined) === (value.file === undefined)) {
      context.addIssue({ code: 'custom', message: "give one of 'env' and 'file'" });
    }
  });

const filter = z
  .string()
  .superRefine((value, context) => {
    const compiled = compileFilter(value);
    if (!compiled.ok) {
      const { column, message } = compiled.error;
      context.addIssue({ code: 'custom', message: `column ${column}: ${message}` });
    }
  })
  .describe('an expression of CEL; refusals pass unless it speaks of `denied`');

const BACK_PRESSURE = ['block', 'spool', 'drop-and-mark'] as const;

const common = {
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
      message: 'is not a name of letters, digits, dots and dashes',
    })
    .optional()
    .describe('stands in events and metrics; default: its type and place'),
  filter: filter.optional(),
  back_pressure: z
    .enum(BACK_PRESSURE)
    .optional()
    .describe(
      'what happens when it is full or failing: refuse what could not be put on record, feed it from the spool, or drop and count',
    ),
};

const format = z.enum(['json', 'ocsf']).optional().describe('as in the event log (default), or OCSF 1.3');

const deliverer = {
  ...common,
  batch: z
    .strictObject({
      events: z.int().min(1).max(10_000).optional().describe('most events of a batch'),
      wait: duration.optional().describe('how long an event waits for others'),
    })
    .optional(),
  retry: z
    .strictObject({
      first: duration.optional().describe('pause before the second attempt; it doubles each time'),
      most: duration.optional().describe('longest pause'),
      give_up_after: z
        .union([duration, z.literal('never')])
        .optional()
        .describe('default: 10m'),
    })
    .optional(),
  dead_letter: z
    .strictObject({
      file: path.describe('JSON lines of the event log, 0600'),
      size: size.optional().describe('beyond it events are lost and counted; default: 256MiB'),
    })
    .optional()
    .describe('where events go that could not be delivered'),
  timeout: duration.optional().describe('of one attempt; default: 10s'),
};

const tls = {
  ca: path.optional().describe('PEM roots to trust beside the system’s'),
};

const url = (schemes: readonly string[], description: string) =>
  text(value => parseTarget(value, schemes), description);

const headers = z
  .record(
    z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/, { message: 'is not a name of a header' }),
    credential,
  )
  .optional()
  .describe('headers whose values are credentials');

const fileSink = z.strictObject({
  type: z.literal('file'),
  ...common,
  format,
  path,
  rotate: z
    .strictObject({
      size: size.optional(),
      age: duration.optional(),
      keep: z.int().min(1).max(1_000).optional().describe('files beside the current one; default: 10'),
    })
    .optional(),
});

const stdoutSink = z.strictObject({ type: z.literal('stdout'), ...common, format });

const webhookSink = z.strictObject({
  type: z.literal('webhook'),
  ...deliverer,
  ...tls,
  format,
  url: url(['https', 'http'], 'https://…; http only to this host'),
  secret_from: credential.optional().describe('the key of the signature (HMAC-SHA256)'),
  headers,
});

const serverSink = z
  .strictObject({
    type: z.literal('server'),
    name: common.name,
    filter: common.filter,
    format,
    listen: text(parseListen, 'unix:PATH, 127.0.0.1:PORT or [::1]:PORT'),
    token_from: credential.optional().describe('what a reader shows as its bearer token; needed on a port'),
    ring: z
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .describe('events held for those who come back; default: 10000'),
    readers: z.int().min(1).max(1_000).optional().describe('at a time; default: 32'),
    stall: duration.optional().describe('how long a reader may take nothing; default: 60s'),
  })
  .superRefine((sink, context) => {
    if (!sink.listen.startsWith('unix:') && sink.token_from === undefined) {
      const message = 'a port is open to every user of this host: token_from is needed, or a unix socket';
      context.addIssue({ code: 'custom', path: ['listen'], message });
    }
  });

const otlpSink = z.strictObject({
  type: z.literal('otlp'),
  ...deliverer,
  ...tls,
  format: format.describe('of the body of a log record'),
  url: url(['https', 'http'], 'of the collector, as https://otel.example.com:4318; http only to this host'),
  headers,
  signals: z
    .array(z.enum(['logs', 'traces']))
    .min(1)
    .optional()
    .describe('default: both'),
  service_name: z.string().min(1).max(255).optional().describe('default: sallyport'),
});

const syslogSink = z.strictObject({
  type: z.literal('syslog'),
  ...deliverer,
  ...tls,
  format,
  url: url(['syslog'], 'syslog://HOST[:PORT], over TLS; port 6514 by default'),
  facility: z.int().min(0).max(23).optional().describe('default: 16, local0'),
  app_name: z
    .string()
    .regex(/^[\x21-\x7e]{1,48}$/, { message: 'is not 1 to 48 characters without a space' })
    .optional()
    .describe('default: sallyport'),
});

const natsSink = z
  .strictObject({
    type: z.literal('nats'),
    ...deliverer,
    ...tls,
    format,
    url: url(['tls', 'nats'], 'tls://HOST[:PORT]; nats:// only to this host'),
    subject: z
      .string()
      .max(255)
      .regex(
        /^(?:[A-Za-z0-9_-]+|\{(?:gateway|sandbox|type)\})(?:\.(?:[A-Za-z0-9_-]+|\{(?:gateway|sandbox|type)\}))*$/,
        {
          message: 'is not a subject of words, {gateway}, {sandbox} and {type} between dots',
        },
      )
      .optional()
      .describe('default: sallyport.events'),
    stream: z
      .strictObject({
        name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, { message: 'is not the name of a stream' }),
        create: z.boolean().optional().describe('make it if it is not there; default: false'),
        duplicate_window: duration.optional().describe('of a stream that is made; default: 1h'),
      })
      .optional()
      .describe('that must take the events'),
    token_from: credential.optional(),
    user: z.string().min(1).max(255).optional(),
    password_from: credential.optional(),
    creds_file: path.optional().describe('a .creds file of mode 0600: a JWT and its key'),
  })
  .superRefine((sink, context) => {
    const logins = [sink.token_from, sink.user, sink.creds_file].filter(login => login !== undefined);
    if (logins.length > 1) {
      context.addIssue({
        code: 'custom',
        message: "'token_from', 'user' and 'creds_file' exclude each other",
      });
    }
    if ((sink.user === undefined) !== (sink.password_from === undefined)) {
      context.addIssue({ code: 'custom', message: "'user' and 'password_from' belong together" });
    }
  });

const metrics = z
  .strictObject({
    listen: text(parseListen, 'unix:PATH, 127.0.0.1:PORT or [::1]:PORT'),
    token_from: credential.optional().describe('what a collector shows as its bearer token'),
    sandboxes: z
      .int()
      .min(1)
      .max(10_000)
      .optional()
      .describe('with labels of their own at a time; default: 100'),
  })
  .describe('for Prometheus');

export const sinksSchema = z.strictObject({
  sinks: z
    .array(
      z.discriminatedUnion('type', [
        fileSink,
        stdoutSink,
        webhookSink,
        serverSink,
        natsSink,
        syslogSink,
        otlpSink,
      ]),
    )
    .max(64)
    .optional(),
  metrics: metrics.optional(),
});

export type SinksInput = z.infer<typeof sinksSchema>;
export type SinkInput = NonNullable<SinksInput['sinks']>[number];
export type SinkOf<T extends SinkInput['type']> = Extract<SinkInput, { readonly type: T }>;
export type MetricsInput = z.infer<typeof metrics>;
export type CredentialInput = z.infer<typeof credential>;

/** The published JSON Schema (draft 2020-12). */
export function sinksJsonSchema(): object {
  return {
    ...z.toJSONSchema(sinksSchema),
    title: 'Sallyport event sinks',
    description: 'The file of `sallyport run --events`.',
  };
}
