// The plugins of the extension.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import bridge from './bridge';
import cells, { IChoices, type Choices } from './cells';
import { KernelWidgets } from './live';
import { highlighter } from './highlight';
import notebook from './notebook';
import outputs from './outputs';
import panel from './panel';
import { RunRenderer, type IRunRendererOptions } from './renderer';
import { HIGHLIGHT } from './ui/markdown';
import { RUN_MIME_TYPE } from './ui/snapshot';
import { TRANSLATIONS } from './ui/words';

/** Before HTML and text (50 and up), after a widget view (-10): nothing here can tell if that lives. */
const RANK = 0;

/** In a notebook before the widget view too: there the renderer knows whether it lives. */
const RANK_IN_NOTEBOOK = -20;

function factory(options: IRunRendererOptions): IRenderMime.IRendererFactory {
  return {
    safe: true,
    mimeTypes: [RUN_MIME_TYPE],
    createRenderer: () => new RunRenderer(options)
  };
}

const runRenderer: JupyterFrontEndPlugin<void> = {
  id: 'letta-kernel:run-renderer',
  description: "Shows the runs of letta-kernel's agents.",
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [INotebookTracker, ITranslator, IEditorLanguageRegistry, IChoices],
  activate: (
    _app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    notebooks: INotebookTracker | null,
    translator: ITranslator | null,
    languages: IEditorLanguageRegistry | null,
    chosen: Choices | null
  ) => {
    const choices = chosen ?? undefined;
    const trans = (translator ?? nullTranslator).load('letta-kernel');
    const highlight = highlighter(languages) ?? undefined;
    // Widgets draw runs too, by the same hand but in a module of their own.
    Object.assign(globalThis, { [HIGHLIGHT]: highlight, [TRANSLATIONS]: trans });
    rendermime.addFactory(factory({ rendermime, trans, highlight, choices }), RANK);
    const addToNotebook = (panel: NotebookPanel) => {
      const own = panel.content.rendermime;
      const live = new KernelWidgets(panel.sessionContext);
      const options = { rendermime: own, trans, live, highlight, choices };
      own.addFactory(factory(options), RANK_IN_NOTEBOOK);
    };
    notebooks?.forEach(addToNotebook);
    notebooks?.widgetAdded.connect((_, panel) => addToNotebook(panel));
  }
};

export default [runRenderer, ...outputs, ...bridge, ...panel, ...cells, ...notebook];
