// The compiler does not set the executable bit, and npx runs the file as it is.
import { chmodSync } from 'node:fs';

chmodSync(new URL('../dist/cli/main.js', import.meta.url), 0o755);
