// The plugin for outputs that are panels: memory, tables.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { IBridge } from './bridge/bridge';
import { KernelWidgets } from './live';
import { PANEL_MIME_TYPE, PanelRenderer, type IPanelOptions } from './savedpanel';

/** Before HTML (50). */
const RANK = 0;

/** In a notebook before the widget view (-10) too: there the renderer knows whether that lives. */
const RANK_IN_NOTEBOOK = -20;

function add(rank: number, options: IPanelOptions): void {
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
  optional: [INotebookTracker, ITranslator, IBridge],
  activate: (
    _app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    notebooks: INotebookTracker | null,
    translator: ITranslator | null,
    bridge: IBridge | null
  ) => {
    const trans = (translator ?? nullTranslator).load('letta-kernel');
    add(RANK, { rendermime, trans });
    const addToNotebook = (panel: NotebookPanel) => {
      const live = new KernelWidgets(panel.sessionContext);
      const ask = bridge?.request.bind(bridge);
      add(RANK_IN_NOTEBOOK, { rendermime: panel.content.rendermime, trans, live, ask });
    };
    notebooks?.forEach(addToNotebook);
    notebooks?.widgetAdded.connect((_, panel) => addToNotebook(panel));
  }
};

export default [panelRenderer];
