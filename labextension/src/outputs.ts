// The plugin for outputs that are panels: memory, tables.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { KernelWidgets } from './live';
import type { IOutputOptions } from './widgethost';
import { PANEL_MIME_TYPE, PanelRenderer } from './savedpanel';

/** Before HTML (50). */
const RANK = 0;

/** In a notebook before the widget view (-10) too: there the renderer knows whether that lives. */
const RANK_IN_NOTEBOOK = -20;

function add(rank: number, options: IOutputOptions): void {
  const createRenderer = () => new PanelRenderer(options);
  options.rendermime.addFactory(
    { safe: true, mimeTypes: [PANEL_MIME_TYPE], createRenderer },
    rank
  );
}

const panelRenderer: JupyterFrontEndPlugin<void> = {
  id: 'letta-kernel:panel-renderer',
  description: 'Shows memory and tables of letta-kernel in outputs.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [INotebookTracker, ITranslator],
  activate: (
    _app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    notebooks: INotebookTracker | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('letta-kernel');
    add(RANK, { rendermime, trans });
    const addToNotebook = (panel: NotebookPanel) => {
      const live = new KernelWidgets(panel.sessionContext);
      add(RANK_IN_NOTEBOOK, { rendermime: panel.content.rendermime, trans, live });
    };
    notebooks?.forEach(addToNotebook);
    notebooks?.widgetAdded.connect((_, panel) => addToNotebook(panel));
  }
};

export default [panelRenderer];
