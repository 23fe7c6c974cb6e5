// Colours code as JupyterLab's editors do.

import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';

import type { Highlight } from './ui/markdown';

/** A highlighter of JupyterLab's languages, if there are any. */
export function highlighter(languages: IEditorLanguageRegistry | null): Highlight | null {
  return languages && ((code, name, into) => languages.highlight(code, languages.findBest(name), into));
}
