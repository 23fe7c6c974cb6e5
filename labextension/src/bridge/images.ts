// Images that a message names, where no kernel reads them: they go with it as they are.

import type { Contents } from '@jupyterlab/services';
import { PathExt } from '@jupyterlab/coreutils';

/** Images of one message; the kernel's bound is the same. */
const MOST = 20;
const NAMED =
  /(?<![\w@./\\:+-])@(?:"([^"\n]+\.(?:png|jpe?g|gif|webp))"|([\w.][^\s"'`<>|*?,;()[\]{}]*\.(?:png|jpe?g|gif|webp))(?!\w))/gi;

/** Data URLs of the images that `text` names by their paths from a folder; a name of nothing is text. */
export async function imagesIn(
  text: string,
  contents: Pick<Contents.IManager, 'get'>,
  folder: string
): Promise<string[]> {
  const names = Array.from(text.matchAll(NAMED), ([, quoted, bare]) => quoted ?? bare);
  const read = Array.from(new Set(names).keys())
    .slice(0, MOST)
    .map(async name => {
      try {
        const path = PathExt.join(folder, name);
        const file = await contents.get(path, { type: 'file', format: 'base64' });
        return `data:image;base64,${String(file.content).replace(/\s/g, '')}`;
      } catch {
        return '';
      }
    });
  return (await Promise.all(read)).filter(url => url !== '');
}
