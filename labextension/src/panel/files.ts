// Files that are named in a message: chosen, dropped, or brought from the person's machine.

import type { Contents } from '@jupyterlab/services';
import { PathExt } from '@jupyterlab/coreutils';

import type { Trans } from '../ui/words';

/** The largest file that is brought, in bytes. */
const LARGEST = 100_000_000;

/** The MIME type under which JupyterLab's file browser says what is dragged. */
export const DRAGGED = 'application/x-jupyter-icontents';

export interface IFiles {
  /** Let the person choose files of the server; their names in a message. */
  choose(): Promise<string[]>;
  /** Put a file of the person's machine beside the notebook; its name in a message. */
  bring(file: File): Promise<string>;
  /** The name, in a message, of a file by its path from the server's root folder. */
  nameOf(path: string): string;
}

export class Files implements IFiles {
  /**
   * @param folder - The folder that names are meant from, by its path from the server's root folder.
   * @param pick - Let the person choose files; their paths.
   */
  constructor(
    private contents: Contents.IManager,
    private folder: () => string,
    private pick: () => Promise<string[]>,
    private trans: Trans
  ) {}

  async choose(): Promise<string[]> {
    return (await this.pick()).map(path => this.nameOf(path));
  }

  async bring(file: File): Promise<string> {
    if (file.size > LARGEST) {
      throw new Error(this.trans.__('%1 is too large: put it into the folder by hand.', file.name));
    }
    const folder = this.folder();
    const there = (await this.contents.get(folder)).content as Contents.IModel[];
    const name = free(file.name, new Set(there.map(one => one.name)));
    const path = PathExt.join(folder, name);
    const content = (await dataUrl(file)).replace(/^[^,]*,/, '');
    await this.contents.save(path, { type: 'file', format: 'base64', name, path, content });
    return written(name);
  }

  nameOf(path: string): string {
    return written(PathExt.relative(this.folder(), this.contents.localPath(path)));
  }
}

/** A path as it is named in a message. */
function written(path: string): string {
  return /^[\w~./][^\s"'`<>|*?,;()[\]{}]*$/.test(path) ? `@${path}` : `@"${path.replace(/["\n]/g, '')}"`;
}

function free(name: string, taken: ReadonlySet<string>): string {
  const suffix = PathExt.extname(name);
  const stem = name.slice(0, name.length - suffix.length);
  let found = name;
  for (let number = 2; taken.has(found); number++) {
    found = `${stem}-${number}${suffix}`;
  }
  return found;
}

/** A file as a data URL. */
export function dataUrl(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error(file.name));
    reader.readAsDataURL(file);
  });
}
