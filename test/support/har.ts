/** HTTP Archive 1.2 as a schema (http://www.softwareishard.com/blog/har-12-spec/): fields beyond it begin with `_`. */
import { z } from 'zod';

const ms = z.number().min(-1);
const pair = z.strictObject({ name: z.string(), value: z.string(), comment: z.string().optional() });
const version = z.string().regex(/^HTTP\/(?:1\.[01]|2)$/);
const moment = z.iso.datetime();

/** Names that begin with an underscore are anybody's. */
function open<T extends z.ZodRawShape>(shape: T) {
  return z.looseObject(shape).superRefine((value, context) => {
    for (const key of Object.keys(value)) {
      if (!key.startsWith('_') && !(key in shape))
        context.addIssue({ code: 'custom', message: `no field ${key}` });
    }
  });
}

const request = open({
  method: z.string().min(1),
  url: z.url(),
  httpVersion: version,
  cookies: z.array(z.never()),
  headers: z.array(pair),
  queryString: z.array(pair),
  postData: open({ mimeType: z.string(), text: z.string(), comment: z.string().optional() }).optional(),
  headersSize: z.int().min(-1),
  bodySize: z.int().min(-1),
});

const response = open({
  status: z.int().min(0).max(999),
  statusText: z.string(),
  httpVersion: version,
  cookies: z.array(z.never()),
  headers: z.array(pair),
  content: open({
    size: z.int().min(0),
    mimeType: z.string(),
    text: z.string().optional(),
    encoding: z.literal('base64').optional(),
    comment: z.string().optional(),
  }),
  redirectURL: z.string(),
  headersSize: z.int().min(-1),
  bodySize: z.int().min(-1),
});

const timings = open({
  blocked: ms,
  dns: ms,
  connect: ms,
  ssl: ms,
  send: ms.min(0),
  wait: ms.min(0),
  receive: ms.min(0),
});

const entry = open({
  startedDateTime: moment,
  time: z.number().min(0),
  request,
  response,
  cache: z.strictObject({}),
  timings,
  serverIPAddress: z.union([z.ipv4(), z.ipv6()]).optional(),
  connection: z.string().optional(),
}).superRefine((value, context) => {
  // §timings: `time` is the sum of all that are not -1; ssl is part of connect.
  const { ssl: _ssl, ...apart } = value.timings;
  const sum = Object.values(apart).reduce<number>((total, each) => total + Math.max(0, Number(each)), 0);
  if (Math.abs(sum - value.time) > 0.01) context.addIssue({ code: 'custom', message: `time is not ${sum}` });
});

export const harSchema = z.strictObject({
  log: open({
    version: z.literal('1.2'),
    creator: z.strictObject({ name: z.string(), version: z.string() }),
    pages: z.array(z.never()),
    entries: z.array(entry),
  }),
});

export type Har = z.infer<typeof harSchema>;
