import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { compileSources } from '../../support/compiled.js';
import { Place } from './support.js';

const SCRIPT = join(__dirname, '..', '..', 'support', 'full-disk.mjs');

test.each([
  ['block', true],
  ['drop-and-mark', false],
])(
  'on a full disk %s blocks the bus: %s; with room again every event is there, in a chain that verifies',
  async (whenFull, blocked) => {
    const compiled = compileSources(['core', 'policy', 'events', 'events/spool']);
    const place = await Place.make();
    const disk = join(place.root, 'disk');
    mkdirSync(disk);
    // A disk of two mebibytes in a mount namespace of its own: it is gone with the process.
    const mounted = 'mount -t tmpfs -o size=2m,mode=0700 none "$1" && shift && exec "$@"';
    const own = ['--user', '--map-root-user', '--mount', 'sh', '-c', mounted, 'sh', disk];
    const node = [process.execPath, SCRIPT, compiled.dir, disk, place.keyDir, whenFull];
    try {
      const { stdout } = await promisify(execFile)('unshare', [...own, ...node]);
      expect(JSON.parse(stdout)).toEqual({
        whileFull: { blocked, dropped: 0 },
        gapless: true,
        all: true,
        faults: [],
        closed: true,
        troubles: [expect.stringMatching(/cannot be written: ENOSPC$/)],
      });
    } finally {
      compiled.remove();
      await place.remove();
    }
  },
);
