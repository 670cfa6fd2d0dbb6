/**
 * An image's file system, its layers put one over the other (OCI image-spec, "Applying Changesets").
 *
 * Pure: members in, a tree out. No name of an archive ever reaches the host's file system while it is made, so there is
 * nothing for a link to lead out of. A member below a symbolic link is refused: some programs follow the link, some
 * replace it, and what a scanner saw would not be what runs.
 */
import { type MemberPath, markerOf, parseMemberPath, shownPath } from './member-path.js';
import type { TarEntry } from './tar/entry.js';

/** What names lead to. Two names of one inode are hard links. */
export interface Inode {
  readonly kind: 'file' | 'directory' | 'symlink' | 'fifo';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  /** Bytes of a file. */
  readonly size: number;
  /** The target of a symbolic link, as it stands in the image. Never followed here. */
  readonly link: string;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** Which member holds the content: its layer, and its number among that layer's members. */
  readonly layer: number;
  readonly member: number;
}

export interface TreeNode {
  readonly inode: Inode;
  /** Null for all but directories. */
  readonly children: Map<string, TreeNode> | null;
  /** The layer that said this name last. */
  readonly layer: number;
}

/** Why layers do not make an image. */
export class LayerFault extends Error {
  override readonly name = 'LayerFault';
}

/** More names than any image has, and as many as fit in memory. */
const MAX_NAMES = 1_000_000;

/** In the sandbox these are the kernel's own: what an image has of them is left out. */
const DEVICE_FOLDER = 'dev';

export class ImageTree {
  root: TreeNode = directoryNode(ROOT, -1);
  #names = 0;

  /** Lays `members`, a whole layer in its order, over what is there. Throws `LayerFault`. */
  addLayer(members: readonly TarEntry[], layer: number): void {
    const paths = members.map(member => pathOf(member));
    // The layer's markers speak of the layers below, wherever among its members they stand.
    for (const path of paths) this.#applyMarker(path);
    members.forEach((member, index) => {
      const path = paths[index] ?? [];
      if (markerAt(path).kind === 'none') this.#add(path, member, { layer, member: index });
    });
  }

  #applyMarker(path: MemberPath): void {
    const marker = markerAt(path);
    if (marker.kind !== 'whiteout' && marker.kind !== 'opaque') return;
    const folder = this.#find(path.slice(0, -1));
    if (folder?.children == null) return;
    if (marker.kind === 'opaque') folder.children.clear();
    else folder.children.delete(marker.name);
  }

  #add(path: MemberPath, entry: TarEntry, at: { readonly layer: number; readonly member: number }): void {
    const name = path.at(-1);
    if (name === undefined) {
      this.#replaceRoot(entry, at.layer);
      return;
    }
    if ((entry.type === 'char' || entry.type === 'block') && path[0] === DEVICE_FOLDER && path.length > 1)
      return;
    const siblings = this.#folderFor(path.slice(0, -1), at.layer);
    const before = siblings.get(name);
    if (before !== undefined && before.layer === at.layer && !isSameFolder(before, entry)) {
      throw new LayerFault(`${shownPath(path)} is in one layer twice`);
    }
    if (before === undefined && ++this.#names > MAX_NAMES) {
      throw new LayerFault(`there are more than ${MAX_NAMES} names`);
    }
    siblings.set(name, this.#nodeOf(path, entry, at, before));
  }

  #nodeOf(
    path: MemberPath,
    entry: TarEntry,
    at: { readonly layer: number; readonly member: number },
    before: TreeNode | undefined,
  ): TreeNode {
    switch (entry.type) {
      case 'char':
      case 'block':
        throw new LayerFault(`${shownPath(path)} is a device`);
      case 'hardlink':
        return { inode: this.#linked(path, entry.link), children: null, layer: at.layer };
      case 'directory':
        return directoryNode(inodeOf('directory', entry, at), at.layer, before?.children ?? new Map());
      default:
        return { inode: inodeOf(entry.type, entry, at), children: null, layer: at.layer };
    }
  }

  #linked(path: MemberPath, link: string): Inode {
    const target = parseMemberPath(link);
    if (!target.ok)
      throw new LayerFault(`${shownPath(path)} is a hard link out of the image (${target.error})`);
    const inode = this.#find(target.value)?.inode;
    if (inode === undefined)
      throw new LayerFault(`${shownPath(path)} is a hard link to nothing that comes before it`);
    if (inode.kind === 'directory') throw new LayerFault(`${shownPath(path)} is a hard link to a directory`);
    return inode;
  }

  #replaceRoot(entry: TarEntry, layer: number): void {
    if (entry.type !== 'directory') throw new LayerFault('the root is not a directory');
    const inode = inodeOf('directory', entry, { layer, member: 0 });
    this.root = directoryNode(inode, layer, this.root.children ?? new Map());
  }

  /** The names in the folder at `path`, made where it is missing. */
  #folderFor(path: MemberPath, layer: number): Map<string, TreeNode> {
    let children = this.root.children ?? new Map<string, TreeNode>();
    path.forEach((part, depth) => {
      const shown = (): string => shownPath(path.slice(0, depth + 1));
      if (part.startsWith('.wh.')) throw new LayerFault(`${shown()} is a marker, and something is below it`);
      let next = children.get(part);
      if (next === undefined) {
        if (++this.#names > MAX_NAMES) throw new LayerFault(`there are more than ${MAX_NAMES} names`);
        next = directoryNode(ROOT, layer);
        children.set(part, next);
      }
      if (next.children === null) {
        throw new LayerFault(`something is below ${shown()}, which is a ${next.inode.kind}`);
      }
      children = next.children;
    });
    return children;
  }

  #find(path: MemberPath): TreeNode | null {
    let node: TreeNode | undefined = this.root;
    for (const part of path) node = node?.children?.get(part);
    return node ?? null;
  }
}

/** What a folder is that no member tells of. */
const ROOT: Inode = {
  kind: 'directory',
  mode: 0o755,
  ...{ uid: 0, gid: 0, mtime: 0, size: 0, link: '', layer: -1, member: -1 },
  xattrs: new Map(),
};

function directoryNode(inode: Inode, layer: number, children = new Map<string, TreeNode>()): TreeNode {
  return { inode, children, layer };
}

function isSameFolder(before: TreeNode, entry: TarEntry): boolean {
  return before.children !== null && entry.type === 'directory';
}

function pathOf(entry: TarEntry): MemberPath {
  const path = parseMemberPath(entry.name);
  if (path.ok) return path.value;
  throw new LayerFault(`a member has the name ${shownPath(entry.name)} (${path.error})`);
}

function markerAt(path: MemberPath): Exclude<ReturnType<typeof markerOf>, null> {
  const marker = markerOf(path.at(-1) ?? '');
  if (marker === null) throw new LayerFault(`${shownPath(path)} marks no file`);
  return marker;
}

function inodeOf(
  kind: Inode['kind'],
  { mode, uid, gid, mtime, size, link, xattrs }: TarEntry,
  at: { readonly layer: number; readonly member: number },
): Inode {
  return { kind, mode, uid, gid, mtime, size, link, xattrs: keptXattrs(xattrs), ...at };
}

/**
 * Capabilities of programs, and what users attach. Others would speak to the kernel that mounts the image: an overlay
 * takes orders from `trusted.overlay.*` and `user.overlay.*`.
 */
function keptXattrs(xattrs: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, Uint8Array> {
  const kept = [...xattrs].filter(
    ([name]) =>
      name === 'security.capability' || (name.startsWith('user.') && !name.startsWith('user.overlay.')),
  );
  return kept.length === xattrs.size ? xattrs : new Map(kept);
}
