/** Globs over paths: `*` and `?` stay in a folder, `**` does not. Pure. */
import picomatch from 'picomatch';
import { ErrInvalidConfig } from './errors.js';

const MAX_PATTERN = 1024;

/** Tells whether a path, relative to where the search began, fits. A pattern without a slash fits names at any depth. */
export function matchPaths(pattern: string): (path: string) => boolean {
  if (pattern === '' || pattern.length > MAX_PATTERN || pattern.includes('\0')) {
    throw new ErrInvalidConfig(`a pattern has 1 to ${MAX_PATTERN} characters, and no NUL`);
  }
  const matches = picomatch(pattern, { dot: true, basename: !pattern.includes('/'), nonegate: true });
  return path => matches(path);
}
