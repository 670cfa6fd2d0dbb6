/** The sources as a syntax tree: what they import, how long their functions are, what of the outside they touch. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { parseSync } from '@swc/core';

export interface Import {
  /** As written: `node:fs`, `./decide.js`. */
  readonly from: string;
  readonly typeOnly: boolean;
  /** Names that are imported as values; `*` for a namespace. */
  readonly names: readonly string[];
}

export interface FunctionSpan {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

export interface SourceFile {
  /** Relative to `src`, as `proxy/serve.ts`. */
  readonly path: string;
  readonly text: string;
  readonly lines: number;
  readonly imports: readonly Import[];
  readonly functions: readonly FunctionSpan[];
  /** Clocks, timers, randomness and the process: `Date.now`, `setTimeout`, `process`. */
  readonly touches: readonly string[];
}

/** Every TypeScript file below `root`, parsed. */
export function readSources(root: string): readonly SourceFile[] {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const files = names.filter(name => /\.c?ts$/.test(name) && !name.endsWith('.d.ts')).sort();
  return files.map(name => readSource(root, name));
}

/** The file below `root` that an import of `file` leads to, or null: a package. */
export function importedPath(file: SourceFile, { from }: Import): string | null {
  if (!from.startsWith('.')) return null;
  return normalize(join(dirname(file.path), from)).replace(/\.(c?)js$/, '.$1ts');
}

/** `proxy/http1/server.ts` → `proxy`; `gateway.ts` → `gateway`. */
export function folderOf(path: string): string {
  const [first = ''] = path.split('/');
  return first.replace(/\.ts$/, '');
}

type Node = { readonly type: string; readonly span?: { start: number; end: number } } & Record<
  string,
  unknown
>;

function readSource(root: string, path: string): SourceFile {
  // A hashbang would not parse behind the mark that makes spans relative to the file.
  const text = readFileSync(join(root, path), 'utf8').replace(/^#!/, '//');
  const module = parseSync(`;${text}`, { syntax: 'typescript', target: 'es2022' }) as unknown as Node;
  const base = (module.span?.start ?? 0) + 1;
  const bytes = Buffer.from(text);
  const lineAt = (offset: number): number =>
    bytes
      .subarray(0, offset - base)
      .toString()
      .split('\n').length;
  const found = { imports: [] as Import[], functions: [] as FunctionSpan[], touches: new Set<string>() };
  visit(module, null, (node, parent) => {
    const imported = importOf(node);
    if (imported) found.imports.push(imported);
    const touch = touchOf(node, parent);
    if (touch) found.touches.add(touch);
    const span = spanOf(node);
    if (span === undefined) return;
    const line = lineAt(span.start);
    found.functions.push({ name: nameOf(node, parent), line, lines: lineAt(span.end) - line + 1 });
  });
  const { imports, functions, touches } = found;
  return {
    path: relative('.', path),
    text,
    lines: text.split('\n').length - 1,
    imports,
    functions,
    touches: [...touches],
  };
}

function visit(node: Node, parent: Node | null, see: (node: Node, parent: Node | null) => void): void {
  if (typeof node.type === 'string') see(node, parent);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child === 'object' && child !== null) {
        visit(child as Node, typeof node.type === 'string' ? node : parent, see);
      }
    }
  }
}

function importOf(node: Node): Import | null {
  const source = (node.source as Node | undefined)?.value;
  switch (node.type) {
    case 'ImportDeclaration': {
      const values = (node.specifiers as Node[]).filter(specifier => specifier.isTypeOnly !== true);
      const typeOnly =
        node.typeOnly === true || (values.length === 0 && (node.specifiers as Node[]).length > 0);
      return { from: String(source), typeOnly, names: typeOnly ? [] : values.map(specifierName) };
    }
    case 'ExportAllDeclaration':
      return { from: String(source), typeOnly: node.typeOnly === true, names: ['*'] };
    case 'ExportNamedDeclaration':
      return source === undefined
        ? null
        : { from: String(source), typeOnly: node.typeOnly === true, names: [] };
    case 'CallExpression': {
      const callee = node.callee as Node;
      const [first] = node.arguments as { expression: Node }[];
      const dynamic = callee.type === 'Import' || callee.value === 'require';
      if (!dynamic || first?.expression.type !== 'StringLiteral') return null;
      return { from: String(first.expression.value), typeOnly: false, names: ['*'] };
    }
    default:
      return null;
  }
}

function specifierName(specifier: Node): string {
  if (specifier.type !== 'ImportSpecifier') return '*';
  return String(((specifier.imported ?? specifier.local) as Node).value);
}

const TIMERS: ReadonlySet<unknown> = new Set(['setTimeout', 'setInterval', 'setImmediate', 'fetch']);

const CLOCKS: ReadonlySet<string> = new Set([
  'Date.now',
  'performance.now',
  'Math.random',
  'AbortSignal.timeout',
]);

function touchOf(node: Node, parent: Node | null): string | null {
  if (node.type === 'CallExpression' && TIMERS.has((node.callee as Node).value)) {
    return String((node.callee as Node).value);
  }
  if (node.type === 'NewExpression' && (node.callee as Node).value === 'Date') {
    return (node.arguments as unknown[] | null)?.length ? null : 'new Date';
  }
  if (node.type !== 'MemberExpression' || parent?.type === 'TsTypeQuery') return null;
  const object = (node.object as Node).value;
  const path = `${object}.${(node.property as Node).value}`;
  if (CLOCKS.has(path)) return path;
  // To run a little later is no way out of the process.
  return object === 'process' && path !== 'process.nextTick' ? 'process' : null;
}

const FUNCTIONS: ReadonlySet<string> = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
  'ClassMethod',
  'PrivateMethod',
  'Constructor',
  'MethodProperty',
  'GetterProperty',
  'SetterProperty',
]);

function spanOf(node: Node): { start: number; end: number } | undefined {
  return FUNCTIONS.has(node.type) ? node.span : undefined;
}

function nameOf(node: Node, parent: Node | null): string {
  const key = (node.identifier ?? node.key ?? parent?.id ?? parent?.key) as Node | undefined;
  return String(key?.value ?? (key?.id as Node | undefined)?.value ?? '(anonymous)');
}
