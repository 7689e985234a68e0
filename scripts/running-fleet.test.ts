import { expect, test } from 'vitest';

import { readFleetNote } from '#runtime/data/fleet-note.ts';

import { temporaryFolder } from '../tests/support/serve.ts';
import { FleetNote, fleetOn } from './running-fleet.ts';

test('a note tells who runs, and how often and how each has fallen; it goes with the fleet', () => {
  using folder = temporaryFolder();
  {
    using note = new FleetNote(folder.path, ['memory', 'git']);
    note.set('memory', 77);
    note.fell('memory', 'ended with SIGKILL', false);
    note.fell('memory', 'a setting is wrong', true);

    expect(readFleetNote(folder.path)).toMatchObject({
      pid: process.pid,
      processes: { memory: 77 },
      falls: { memory: { count: 2, reason: 'a setting is wrong', isFinal: true } },
    });
    note.set('memory', 78);
    expect(readFleetNote(folder.path)).toMatchObject({
      processes: { memory: 78 },
      falls: { memory: { count: 2, isFinal: false } },
    });
    expect(fleetOn(folder.path)?.names).toEqual(['memory', 'git']);
  }
  expect(readFleetNote(folder.path)).toBeUndefined();
});
