// Jumps to the cell that a tool was written in.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import type { Trans } from '../ui/words';

export const SHOW_CELL = 'letta-kernel:show-cell';

/** Add the command; it answers whether the cell was found. */
export function addShowCell(app: JupyterFrontEnd, notebooks: INotebookTracker, trans: Trans): void {
  app.commands.addCommand(SHOW_CELL, {
    label: trans.__('Show a Cell'),
    caption: trans.__('Open a notebook at one of its cells'),
    describedBy: {
      args: {
        type: 'object',
        properties: {
          path: { type: 'string', description: trans.__('Its notebook, beside the project folder') },
          cell: { type: 'string', description: trans.__('Its id') }
        }
      }
    },
    isVisible: args => typeof args.cell === 'string',
    execute: async args => {
      const { path, cell } = args;
      if (typeof cell !== 'string') {
        return false;
      }
      const open = notebooks.find(panel => indexOf(panel, cell) >= 0);
      const panel = open ?? (typeof path === 'string' ? await opened(path) : null);
      if (!panel) {
        return false;
      }
      const index = indexOf(panel, cell);
      if (index < 0) {
        return false;
      }
      app.shell.activateById(panel.id);
      panel.content.activeCellIndex = index;
      panel.content.deselectAll();
      await panel.content.scrollToItem(index, 'center');
      return true;
    }
  });

  /** Open a notebook, whose path is beside that of the notebook in front. */
  async function opened(path: string): Promise<NotebookPanel | null> {
    const here = notebooks.currentWidget?.context.path ?? '';
    const beside = [here.slice(0, here.lastIndexOf('/') + 1) + path, path];
    for (const one of beside) {
      try {
        await app.serviceManager.contents.get(one, { content: false });
      } catch {
        continue;
      }
      const panel: NotebookPanel = await app.commands.execute('docmanager:open', {
        path: one,
        factory: 'Notebook'
      });
      await panel.context.ready;
      await panel.revealed;
      return panel;
    }
    return null;
  }
}

function indexOf(panel: NotebookPanel, cell: string): number {
  return panel.content.widgets.findIndex(widget => widget.model.id === cell);
}
