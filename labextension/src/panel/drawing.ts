// Draws Markdown and what tools show for the panel, as it is drawn in a notebook's outputs.

import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';

import { drawDisplay } from '../display';
import type { IHosts } from '../entries';
import { drawMarkdown, hasFormulas, highlightCode, type Highlight } from '../markdown';

export function hostsOf(
  rendermime: IRenderMimeRegistry,
  languages: IEditorLanguageRegistry | null
): IHosts {
  const highlight: Highlight | null =
    languages && ((code, name, into) => languages.highlight(code, languages.findBest(name), into));
  const markdown = (host: HTMLElement, text: string) => {
    drawMarkdown(host, text);
    if (highlight) {
      void highlightCode(host, highlight);
    }
    if (hasFormulas(host)) {
      void rendermime.latexTypesetter?.typeset(host);
    }
  };
  return { markdown, bundle: (host, bundle) => drawDisplay(host, bundle, markdown) };
}
