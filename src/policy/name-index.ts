/**
 * Which rules name a host: a trie of labels from the right (RFC 1034 §3.1).
 *
 * Pure. A look-up costs one hash a label, however many patterns there are; the latest answers are remembered, since
 * a connection asks for the same name again and again.
 */
import type { Hostname } from '../core/host.js';
import type { HostPattern } from './pattern.js';
import type { Scope } from './scope.js';

export interface NameIndex<T> {
  /** The rules of the narrowest pattern that matches `name`; wider ones hang on `outer`. */
  find(name: Hostname): Scope<T> | null;
}

interface Node<T> {
  readonly children: Map<string, Node<T>>;
  readonly exact: T[];
  readonly below: T[];
  exactScope: Scope<T> | null;
  belowScope: Scope<T> | null;
}

/** Patterns of kind `ip` are no names and are left out. */
export function createNameIndex<T>(entries: Iterable<readonly [HostPattern, T]>): NameIndex<T> {
  const root = newNode<T>();
  for (const [pattern, rule] of entries) insert(root, pattern, rule);
  root.belowScope = scopeOf(root.below, null, true);
  link(root);
  const recent = new Map<string, Scope<T> | null>();
  return {
    find: name => {
      const known = recent.get(name);
      if (known !== undefined) return known;
      const scope = find(root, name);
      // Names are a stranger's: the memory is bounded, and forgetting it all costs nothing but a walk.
      if (recent.size >= MAX_REMEMBERED) recent.clear();
      recent.set(name, scope);
      return scope;
    },
  };
}

const MAX_REMEMBERED = 512;

function find<T>(root: Node<T>, name: string): Scope<T> | null {
  let node = root;
  let end = name.length;
  for (;;) {
    const dot = name.lastIndexOf('.', end - 1);
    const child = node.children.get(name.slice(dot + 1, end));
    if (child === undefined) return node.belowScope;
    if (dot < 0) return child.exactScope;
    node = child;
    end = dot;
  }
}

function newNode<T>(): Node<T> {
  return { children: new Map(), exact: [], below: [], exactScope: null, belowScope: null };
}

function insert<T>(root: Node<T>, pattern: HostPattern, rule: T): void {
  if (pattern.kind === 'ip') return;
  if (pattern.kind === 'any') return void root.below.push(rule);
  let node = root;
  const name = pattern.kind === 'exact' ? pattern.name : pattern.suffix;
  for (const label of name.split('.').reverse()) {
    const child = node.children.get(label) ?? newNode<T>();
    node.children.set(label, child);
    node = child;
  }
  (pattern.kind === 'exact' ? node.exact : node.below).push(rule);
}

/** Gives each node its scopes once its parent has them: a name is 253 characters, so the depth is bounded. */
function link<T>(parent: Node<T>): void {
  for (const child of parent.children.values()) {
    child.exactScope = scopeOf(child.exact, parent.belowScope, false);
    child.belowScope = scopeOf(child.below, parent.belowScope, false);
    link(child);
  }
}

function scopeOf<T>(rules: readonly T[], outer: Scope<T> | null, any: boolean): Scope<T> | null {
  return rules.length === 0 ? outer : { rules, outer, any };
}
