/**
 * Is anything in a request's head on its way to where it may not go?
 *
 * Pure. The usual head holds nothing that it may not, and one look at all of it says so; only otherwise is it taken
 * apart to name the place.
 */
import type { Authority } from '../core/authority.js';
import { type HeaderList, isRepeated, NO_HEADERS } from '../core/headers.js';
import { hostText } from '../core/host.js';
import { foreignIn } from './foreign.js';
import { FORBIDDEN_FIELDS } from './place.js';
import { isLeak, type Leak, reasonOf, type Scope } from './scan.js';
import type { SandboxSecrets } from './store.js';
import { basicCredentials, mayHoldPlaceholder, swapPlaceholders } from './swap.js';
import type { Subject, Watch } from './watch.js';

interface Head {
  readonly authority: Authority;
  readonly method: string;
  readonly path: string;
  readonly headers: HeaderList;
  readonly dropped?: HeaderList;
}

interface Piece {
  readonly place: string;
  readonly text: string;
}

/** Every place that leaks, once each. */
export function findLeaks(secrets: SandboxSecrets, scope: Scope, head: Head): Leak[] {
  if (isClean(secrets, scope, head)) return [];
  const { open, forbidden } = piecesOf(head);
  const leaves = (subject: Subject): boolean => isLeak(subject, scope);
  // A value may be a word, and a host or a field name may hold that word; a placeholder is nobody's word.
  const strays = (subject: Subject): boolean => subject.kind !== 'value';
  const leaks = [
    ...leaksIn(secrets, scope, forbidden, strays),
    ...leaksIn(secrets, scope, open, leaves),
    ...foreignPieces(secrets, open),
    ...foreignPieces(secrets, forbidden),
  ];
  return leaks.length < 2 ? leaks : onePerPlace(leaks);
}

/** By lists that come again and again: whose fields hold nothing that may not leave with these secrets. */
const clean = new WeakMap<HeaderList, { readonly secrets: SandboxSecrets; readonly scope: Scope }>();

/** One look at the whole head, without the placeholders that may stand where they stand. */
function isClean(secrets: SandboxSecrets, scope: Scope, head: Head): boolean {
  const { headers, dropped = NO_HEADERS } = head;
  const known = clean.get(headers);
  if (known?.secrets === secrets && known.scope === scope && dropped.length === 0)
    return isPlain(secrets, head) || holdsNothing(secrets, scope, { ...head, headers: NO_HEADERS });
  if (!holdsNothing(secrets, scope, head)) return false;
  if (isRepeated(headers)) clean.set(headers, { secrets, scope });
  return true;
}

/** Of the head without its fields: nothing in it looks like anything that is watched for. */
function isPlain({ watch }: SandboxSecrets, { authority, method, path }: Head): boolean {
  return looksPlain(watch, path) && looksPlain(watch, method) && looksPlain(watch, hostText(authority.host));
}

function looksPlain(watch: Watch, text: string): boolean {
  return !mayHoldPlaceholder(text) && !watch.mayHold(text);
}

function holdsNothing(
  secrets: SandboxSecrets,
  { allowed }: Scope,
  { authority, method, path, headers, dropped = NO_HEADERS }: Head,
): boolean {
  const { watch } = secrets;
  const masked = (text: string): string =>
    swapPlaceholders(text, placeholder => {
      const entry = secrets.byPlaceholder.get(placeholder);
      return entry !== undefined && allowed.has(entry.name) ? '' : null;
    });
  const shown = [hostText(authority.host), method, masked(path)];
  for (const [name, value] of headers) {
    const mayStand = mayHoldPlaceholder(value) && !FORBIDDEN_FIELDS.has(name);
    shown.push(name, mayStand ? masked(value) : value);
    const inside = basicText(value);
    if (inside !== null) shown.push(masked(inside));
  }
  for (const [name, value] of dropped) shown.push(name, value);
  if (shown.some(mayHoldPlaceholder)) return false;
  if (!shown.some(text => watch.mayHold(text))) return true;
  return (
    watch.hits(wireBytes(shown.join('\0')), ({ kind, secret }) => kind !== 'value' || !allowed.has(secret))
      .length === 0
  );
}

function onePerPlace(leaks: readonly Leak[]): Leak[] {
  const first = new Map<string, Leak>();
  for (const leak of leaks) {
    const key = `${leak.place} ${leak.secret}`;
    if (!first.has(key)) first.set(key, leak);
  }
  return [...first.values()];
}

/** `forbidden`: no value may ever stand there, whatever its scope. */
function piecesOf({ authority, method, path, headers, dropped = [] }: Head): {
  readonly open: readonly Piece[];
  readonly forbidden: readonly Piece[];
} {
  const query = path.indexOf('?');
  const open: Piece[] = [{ place: 'path', text: query < 0 ? path : path.slice(0, query) }];
  if (query >= 0) open.push({ place: 'query', text: path.slice(query) });
  const forbidden: Piece[] = [
    { place: 'host', text: hostText(authority.host) },
    { place: 'method', text: method },
  ];
  for (const [name, value] of headers) {
    const lowerName = name.toLowerCase();
    forbidden.push({ place: 'name', text: name });
    const piece = { place: `header:${lowerName}`, text: value };
    if (FORBIDDEN_FIELDS.has(lowerName)) forbidden.push(piece);
    // Searched for values too: they leave as they are.
    open.push(piece);
    const inside = basicText(value);
    if (inside !== null) open.push({ ...piece, text: inside });
  }
  for (const [name, value] of dropped) {
    const piece = { place: `header:${name.toLowerCase()}`, text: `${name}: ${value}` };
    open.push(piece);
    forbidden.push(piece);
  }
  return { open, forbidden };
}

/** What stands in Basic credentials, where a spelling of its own would be hidden by the base64 around it. */
function basicText(value: string): string | null {
  const isB = (value.charCodeAt(0) | 0x20) === 0x62;
  return isB ? (basicCredentials(value)?.text ?? null) : null;
}

function leaksIn(
  secrets: SandboxSecrets,
  scope: Scope,
  pieces: readonly Piece[],
  wanted: (subject: Subject) => boolean,
): Leak[] {
  if (secrets.watch.hits(wireBytes(joined(pieces)), wanted).length === 0) return [];
  const leaks: Leak[] = [];
  for (const { place, text } of pieces) {
    const bytes = wireBytes(text);
    const [hit] = secrets.watch.hits(bytes, wanted);
    if (hit === undefined) continue;
    const { subject } = secrets.watch.mark(hit);
    const encoding = secrets.watch.spelling(hit, bytes);
    leaks.push({ secret: subject.secret, place, encoding, reason: reasonOf(subject, scope) });
  }
  return leaks;
}

/** Placeholders of other sandboxes, as they are: worthless here, but somebody carried them over. */
function foreignPieces(secrets: SandboxSecrets, pieces: readonly Piece[]): Leak[] {
  return pieces.flatMap(({ place, text }) => foreignIn(secrets, text, place) ?? []);
}

function joined(pieces: readonly Piece[]): string {
  return pieces.map(({ text }) => text).join('\0');
}

function wireBytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
