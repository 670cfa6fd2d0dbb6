/**
 * The part of the policy file's shape that says where the value of a secret comes from, and what a key signs.
 *
 * Pure. What goes over the network goes over https alone, to an origin without a path, user or query.
 */
import { z } from 'zod';
import { err, ok, type Result } from '../core/result.js';
import { quoted } from './problem.js';

const MS = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** `30s`, `5m`, `12h`, in milliseconds. */
export function parseDuration(text: string): Result<number, string> {
  const match = /^([1-9]\d{0,4})([smh])$/.exec(text);
  const unit = match?.[2];
  if (match === null || (unit !== 's' && unit !== 'm' && unit !== 'h')) {
    return err(`${quoted(text)} is not a duration such as 30s, 5m or 12h`);
  }
  return ok(Number(match[1]) * MS[unit]);
}

function checked(parse: (text: string) => Result<unknown, string>): z.ZodString {
  return z.string().superRefine((value, context) => {
    const result = parse(value);
    if (!result.ok) context.addIssue({ code: 'custom', message: result.error });
  });
}

export const refresh = checked(parseDuration);

const environmentName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
  message: 'is not the name of an environment variable',
});
const secretName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, { message: 'is not the name of a secret' });
const line = z.string().regex(/^[\x20-\x7e]+$/, { message: 'is not one line of printable ASCII' });
const region = z.string().regex(/^[a-z0-9-]{1,63}$/, { message: 'is not a region, as eu-central-1' });
/** Of every segment something is left once a server has tidied the path. */
const vaultPath = z
  .string()
  .regex(/^(?!\.{1,2}(?:\/|$))[^/\x00-\x1f\x7f]+(?:\/(?!\.{1,2}(?:\/|$))[^/\x00-\x1f\x7f]+)*$/, {
    message: 'is a path such as team/app, without a slash at its ends',
  });

const origin = checked(text => httpsUrl(text, false)).describe('https://HOST[:PORT]');
const tokenUrl = checked(text => httpsUrl(text, true)).describe('an https URL');

function httpsUrl(text: string, mayHavePath: boolean): Result<unknown, string> {
  const what = mayHavePath ? 'an https URL' : 'https://HOST[:PORT]';
  const wrong = err(`${quoted(text)} is not ${what}`);
  if (!URL.canParse(text)) return wrong;
  const url = new URL(text);
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '' || url.hash !== '')
    return wrong;
  // As written: what the parser would have to mend has two readings.
  const written = mayHavePath ? url.href : url.origin;
  return text === written ? ok(null) : wrong;
}

const localShape = {
  env: environmentName.optional(),
  file: z.string().min(1).optional(),
  command: z.union([z.string().min(1), z.array(z.string()).min(1)]).optional(),
  fd: z
    .int()
    .refine(fd => fd === 0 || (fd >= 3 && fd <= 1023), { message: 'is 0 (standard input) or 3 to 1023' })
    .optional()
    .describe('a descriptor that the gateway inherits, read once to its end'),
  systemd: z
    .string()
    .regex(/^(?!\.{1,2}$)[A-Za-z0-9._@:-]{1,255}$/, { message: 'is not the name of a credential' })
    .optional()
    .describe('a file of $CREDENTIALS_DIRECTORY'),
  keyring: z
    .record(z.string().regex(/^[A-Za-z0-9_.:][A-Za-z0-9_.:-]*$/), line)
    .refine(attributes => Object.keys(attributes).length > 0, { message: 'names no attribute' })
    .optional()
    .describe('attributes for secret-tool lookup'),
};

const KINDS = Object.keys(localShape).join(', ');

function exactlyOne(kinds: string) {
  return (source: object, context: z.RefinementCtx): void => {
    if (Object.values(source).filter(value => value !== undefined).length !== 1) {
      context.addIssue({ code: 'custom', message: `names exactly one of ${kinds}` });
    }
  };
}

const local = z.strictObject(localShape).superRefine(exactlyOne(KINDS));

const vault = z.strictObject({
  address: origin,
  mount: vaultPath.optional().describe('of a KV version 2 engine; default secret'),
  path: vaultPath,
  field: z.string().min(1),
  namespace: vaultPath.optional(),
  token_from: local.optional().describe('default: the variable VAULT_TOKEN'),
});

const awsSecretsManager = z.strictObject({
  region,
  secret_id: line,
  field: z.string().min(1).optional().describe('a key of its JSON; default: the whole string'),
  endpoint: origin.optional(),
  access_key_id_from: local.optional().describe('default: the variable AWS_ACCESS_KEY_ID'),
  secret_access_key_from: local.optional().describe('default: the variable AWS_SECRET_ACCESS_KEY'),
  session_token_from: local.optional(),
});

const oauth2 = z
  .strictObject({
    token_url: tokenUrl,
    grant: z.enum(['client_credentials', 'refresh_token']),
    client_id: line,
    client_secret_from: local.optional(),
    refresh_token_from: local.optional(),
    scope: line.optional(),
  })
  .superRefine(({ grant, client_secret_from, refresh_token_from }, context) => {
    const complain = (key: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [key], message });
    const refreshes = grant === 'refresh_token';
    if (refreshes && refresh_token_from === undefined)
      complain('refresh_token_from', 'is what this grant needs');
    if (!refreshes && refresh_token_from !== undefined)
      complain('refresh_token_from', 'is for grant: refresh_token');
    if (!refreshes && client_secret_from === undefined)
      complain('client_secret_from', 'is what this grant needs');
  });

const DAY_MS = 24 * MS.h;

const jwt = z.strictObject({
  key_from: local.describe('a private key in PEM'),
  alg: z.enum(['RS256', 'ES256']),
  claims: z.record(
    z.string().refine(name => name !== 'iat' && name !== 'exp', { message: 'the gateway sets it' }),
    z.union([z.string(), z.number(), z.boolean()]),
  ),
  ttl: checked(text => {
    const ttl = parseDuration(text);
    return !ttl.ok || (ttl.value >= 10 * MS.s && ttl.value <= DAY_MS) ? ttl : err('is from 10s to 24h');
  }),
});

export const valueFrom = z
  .strictObject({
    ...localShape,
    vault: vault.optional(),
    aws_secrets_manager: awsSecretsManager.optional(),
    oauth2: oauth2.optional(),
    jwt: jwt.optional(),
  })
  .superRefine(exactlyOne(`${KINDS}, vault, aws_secrets_manager, oauth2 and jwt`));

const sigV4 = z.strictObject({
  access_key_id: secretName.describe('the secret that holds the other half of the pair'),
  service: z.string().regex(/^[a-z0-9._-]{1,63}$/, { message: 'is not a service, as s3' }),
  region,
});

const hmac = z.strictObject({
  header: z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, { message: 'is not the name of a field' }),
  prefix: z
    .string()
    .regex(/^[\x21-\x7e]*$/)
    .optional()
    .describe('before the signature, as sha256='),
  algorithm: z.enum(['sha256', 'sha384', 'sha512']).optional().describe('default sha256'),
  encoding: z.enum(['hex', 'base64']).optional().describe('default hex'),
  over: z
    .array(
      z.string().regex(/^(?:method|host|path|body|header:[!#$%&'*+\-.^_`|~0-9A-Za-z]+)$/, {
        message: 'is none of method, host, path, body and header:NAME',
      }),
    )
    .min(1),
  separator: z.string().max(8).optional().describe('default: a line feed'),
});

export const sign = z
  .strictObject({ aws_sigv4: sigV4.optional(), hmac: hmac.optional() })
  .superRefine(exactlyOne('aws_sigv4 and hmac'));

export type ValueFromInput = z.infer<typeof valueFrom>;
export type LocalInput = z.infer<typeof local>;
export type SignInput = z.infer<typeof sign>;
