/**
 * In which order a tree's names are written out, so that one pass over each layer gives every content once.
 *
 * Pure.
 */

import type { TarEntry } from './tar/entry.js';
import type { ImageTree, Inode, TreeNode } from './tree.js';

export interface NamedInode {
  /** From the root, without a slash before it; the root itself is the empty text. */
  readonly path: string;
  readonly inode: Inode;
}

export interface Emission {
  /** Parents before children. The root is the first. */
  readonly directories: readonly NamedInode[];
  /** By layer, and there by the number of the member: the name under which its content is written. */
  readonly contents: ReadonlyMap<number, ReadonlyMap<number, NamedInode>>;
  readonly others: readonly NamedInode[];
  /** Second names of files; `to` is written before. */
  readonly links: readonly (NamedInode & { readonly to: string })[];
  /** Bytes of all files, each once. */
  readonly bytes: number;
}

export function emissionOf({ root }: ImageTree): Emission {
  const directories: NamedInode[] = [];
  const contents = new Map<number, Map<number, NamedInode>>();
  const others: NamedInode[] = [];
  const links: (NamedInode & { readonly to: string })[] = [];
  const first = new Map<Inode, string>();
  let bytes = 0;
  for (const { path, inode } of namesOf(root)) {
    const to = first.get(inode);
    if (inode.kind === 'directory') directories.push({ path, inode });
    else if (inode.kind !== 'file') others.push({ path, inode });
    else if (to !== undefined) links.push({ path, inode, to });
    else {
      first.set(inode, path);
      bytes += inode.size;
      const ofLayer = contents.get(inode.layer) ?? new Map<number, NamedInode>();
      contents.set(inode.layer, ofLayer.set(inode.member, { path, inode }));
    }
  }
  return { directories, contents, others, links, bytes };
}

/** Every name, parents first; without recursion, since an image decides how deep it is. */
export function* namesOf(root: TreeNode): Generator<NamedInode> {
  const pending: { readonly path: string; readonly node: TreeNode }[] = [{ path: '', node: root }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { path, node } = next;
    yield { path, inode: node.inode };
    const children = [...(node.children ?? [])].reverse();
    for (const [name, child] of children) {
      pending.push({ path: path === '' ? name : `${path}/${name}`, node: child });
    }
  }
}

/** The member that writes `inode` as `path`; `to` makes it a hard link. */
export function entryOf({ path, inode }: NamedInode, to?: string): TarEntry {
  const { mode, uid, gid, mtime, xattrs } = inode;
  const rest = { mode, uid, gid, mtime, device: { major: 0, minor: 0 } };
  if (to !== undefined)
    return { ...rest, name: path, type: 'hardlink', size: 0, link: to, xattrs: new Map() };
  const name = path === '' ? './' : path;
  return {
    ...rest,
    name,
    type: inode.kind,
    size: inode.kind === 'file' ? inode.size : 0,
    link: inode.link,
    xattrs,
  };
}
