/**
 * Paths that were asked for, as few globs that describe them: what looks like an identifier becomes `*`, and so does a
 * place where many names stood.
 *
 * Pure; bounded whatever a log holds.
 */
import { canonicalPath } from '../../policy/path.js';
import { owned } from './tally.js';

/** Names at one place of a path from which on it is taken for a list of anything. */
const MANY_NAMES = 12;

/** Globs of one rule; beyond, whole folders are meant. */
const MOST_GLOBS = 48;

/** Leaves kept while reading: then the fullest place is widened at once. */
const MOST_LEAVES = 4_096;

/** `policy/path` takes no more stars in a glob. */
const MOST_STARS = 8;

/** Segments told apart; what is below is meant as a whole. */
const MOST_SEGMENTS = 16;

interface Node {
  readonly children: Map<string, Node>;
  ends: boolean;
}

export class PathSet {
  #root: Node = node();
  #leaves = 0;
  /** A path with two readings was asked for: no glob describes it. */
  ambiguous = false;

  /** `target`: an origin-form, query included. */
  add(target: string): void {
    const path = canonicalPath(target);
    if (path === null) {
      this.ambiguous = true;
      return;
    }
    let at = this.#root;
    for (const segment of segmentsOf(path)) {
      const known = at.children.get(segment);
      const next = known ?? node();
      if (known === undefined) at.children.set(owned(segment), next);
      at = next;
    }
    if (at.ends) return;
    at.ends = true;
    this.#leaves += 1;
    if (this.#leaves > MOST_LEAVES) this.#shrink();
  }

  /** In order; null: no glob can describe what was asked for, so every path is meant. */
  globs(): readonly string[] | null {
    if (this.ambiguous) return null;
    const found = [...globsOf(collapsed(this.#root), '')].sort();
    if (found.length <= MOST_GLOBS) return found;
    const folders = [...this.#root.children.keys()];
    return folders.length > MOST_GLOBS ? ['/**'] : foldersOf(this.#root);
  }

  #shrink(): void {
    this.#root = collapsed(this.#root);
    this.#leaves = count(this.#root);
    if (this.#leaves <= MOST_LEAVES / 2) return;
    this.#root = node();
    this.#root.children.set('**', { children: new Map(), ends: true });
    this.#leaves = 1;
  }
}

function node(): Node {
  return { children: new Map(), ends: false };
}

/** The segments behind the first slash, identifiers as stars. */
function segmentsOf(path: string): readonly string[] {
  const segments = path.slice(1).split('/').map(generalised);
  let stars = 0;
  for (const [i, segment] of segments.entries()) {
    stars += segment.split('*').length - 1;
    if (stars >= MOST_STARS || i >= MOST_SEGMENTS) return [...segments.slice(0, i), '**'];
  }
  return segments;
}

const IDENTIFIER =
  /^(?:\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d{2}-\d{2}.*|(?:sha256:)?[0-9a-f]{32,})$/i;

/** Hexadecimal with a digit among it: `deadbeef` may be a word. */
const HEX = /^(?=.*\d)[0-9a-f]{8,}$/i;

/** Long, of letters and digits mixed: a token, a ULID, a hash in another base. */
const TOKEN = /^(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_-]{20,}$/;

/** `app.3f2a9c1b.js`: a name with a hash in the middle. */
const HASHED_NAME = /^(.+[.-])(?=[0-9a-f]*\d)[0-9a-f]{8,}((?:\.[A-Za-z0-9]+)+)$/;

function generalised(segment: string): string {
  // A star that was asked for stands for itself and more; two of them would be another sign.
  const text = segment.replace(/\*{2,}/g, '*');
  if (IDENTIFIER.test(text) || HEX.test(text) || TOKEN.test(text)) return '*';
  return text.replace(HASHED_NAME, '$1*$2');
}

/** The same paths and perhaps more, with a star where there are many names. */
function collapsed({ children, ends }: Node): Node {
  const merged = children.size > MANY_NAMES ? new Map([['*', union([...children.values()])]]) : children;
  const result: Node = { children: new Map(), ends };
  for (const [name, child] of merged) result.children.set(name, collapsed(child));
  dropCovered(result);
  return result;
}

/** What `*` says already need not be said again. */
function dropCovered({ children }: Node): void {
  const star = children.get('*');
  if (star?.ends !== true) return;
  for (const [name, child] of children) {
    // `*` never stands for nothing: a path that ends in a slash is another one.
    if (name !== '*' && name !== '**' && name !== '' && child.children.size === 0) children.delete(name);
  }
}

function union(nodes: readonly Node[]): Node {
  const all = node();
  for (const { children, ends } of nodes) {
    all.ends ||= ends;
    for (const [name, child] of children) {
      const known = all.children.get(name);
      all.children.set(name, known === undefined ? child : union([known, child]));
    }
  }
  return all;
}

function* globsOf({ children, ends }: Node, prefix: string): Generator<string> {
  if (ends) yield prefix === '' ? '/' : prefix;
  for (const [name, child] of children) yield* globsOf(child, `${prefix}/${name}`);
}

function foldersOf({ children }: Node): readonly string[] {
  return [...children]
    .flatMap(([name, child]) => {
      const own = child.ends ? [`/${name}`] : [];
      return child.children.size > 0 ? [...own, `/${name}/**`] : own;
    })
    .sort();
}

function count({ children, ends }: Node): number {
  let leaves = ends ? 1 : 0;
  for (const child of children.values()) leaves += count(child);
  return leaves;
}
