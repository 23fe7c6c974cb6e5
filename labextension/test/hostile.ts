// The strings that the kernel's own displays are tested with.

import { execFileSync } from 'child_process';
import { join } from 'path';

const FOLDER = join(__dirname, '..', '..', 'tests', 'display');
const PRINT = 'import json; from hostile_strings import HOSTILE; print(json.dumps(HOSTILE))';

/** Strings that try to run, to load, to deceive or to break the layout, by name. */
export function hostileStrings(): [string, string][] {
  const printed = execFileSync('python3', ['-c', PRINT], {
    cwd: FOLDER,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    encoding: 'utf-8',
    maxBuffer: 1 << 26
  });
  return Object.entries(JSON.parse(printed));
}
