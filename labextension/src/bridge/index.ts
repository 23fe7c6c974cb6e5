// The plugins that connect JupyterLab to the kernels of its notebooks.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { IBridge } from './bridge';
import { Bridge, type IServed } from './follow';
import { isServed } from './server';
import { AgentsStatus } from './status';

export * from './bridge';

export const OPEN_PANEL = 'letta-kernel:open-agents-panel';

const bridge: JupyterFrontEndPlugin<IBridge> = {
  id: 'letta-kernel:bridge',
  description: 'Connects to the agents of the notebook in front.',
  autoStart: true,
  provides: IBridge,
  requires: [INotebookTracker],
  optional: [ITranslator, IStatusBar, IDefaultFileBrowser],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    translator: ITranslator | null,
    statusBar: IStatusBar | null,
    files: IDefaultFileBrowser | null
  ): IBridge => {
    const trans = (translator ?? nullTranslator).load('letta-kernel');
    const { contents, serverSettings: settings } = app.serviceManager;
    const pathOf = (path: string) => contents.localPath(path);
    const served: IServed = { settings, contents, pathOf, folder: () => pathOf(files?.model.path ?? '') };
    const made = new Bridge(notebooks, trans, isServed() ? served : null);
    files?.model.pathChanged.connect(() => made.refresh());
    const open = () => {
      if (app.commands.hasCommand(OPEN_PANEL)) {
        void app.commands.execute(OPEN_PANEL);
      }
    };
    if (statusBar) {
      const item = new AgentsStatus(made, trans, open);
      statusBar.registerStatusItem('letta-kernel:status', {
        item,
        align: 'right',
        rank: 10,
        isActive: () => item.isActive(),
        activeStateChanged: item.activeChanged
      });
    }
    return made;
  }
};

const plugins: JupyterFrontEndPlugin<unknown>[] = [bridge];

export default plugins;
