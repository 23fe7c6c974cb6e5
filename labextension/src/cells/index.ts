// The plugins of agent cells, tool badges, commands and settings.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import type { CodeCell } from '@jupyterlab/cells';
import { IEditorExtensionRegistry, IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';

import { IBridge } from '../bridge/bridge';
import { CellActions } from './actions';
import { addCommands } from './commands';
import { addDocuments } from './documents';
import { askAboutError, type AskedOfError } from './errors';
import { RunRecovery } from './recovery';
import { agentCellLanguage, AGENT_CELL_MIME, proseExtension } from './prose';
import { Roster } from './roster';
import { Choices } from './settings';
import { addShowCell } from './showcell';
import { ToolCard } from './tools';
import { CellWatcher } from './watcher';

export { Choices };

export const IChoices = new Token<Choices>(
  'letta-kernel:choices',
  'What was chosen in the settings of letta-kernel.'
);

/** Carries the id of the settings' schema, with the toolbar, menus and shortcuts in it. */
const settings: JupyterFrontEndPlugin<Choices> = {
  id: 'letta-kernel:plugin',
  description: 'The settings of letta-kernel, as its kernels and its runs follow them.',
  autoStart: true,
  optional: [IBridge, ISettingRegistry],
  provides: IChoices,
  activate: (
    _app: JupyterFrontEnd,
    bridge: IBridge | null,
    registry: ISettingRegistry | null
  ) => {
    const choices = new Choices();
    registry
      ?.load('letta-kernel:plugin')
      .then(loaded => choices.follow(loaded, bridge))
      .catch(error => console.warn('The settings of letta-kernel could not be read.', error));
    return choices;
  }
};

const agentCells: JupyterFrontEndPlugin<void> = {
  id: 'letta-kernel:agent-cells',
  description: 'Agent cells, tool badges, their commands, and notebooks to begin with.',
  autoStart: true,
  requires: [
    INotebookTracker,
    IBridge,
    IEditorLanguageRegistry,
    IEditorExtensionRegistry,
    IRenderMimeRegistry
  ],
  optional: [ICommandPalette, ILauncher, IDefaultFileBrowser, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    bridge: IBridge,
    languages: IEditorLanguageRegistry,
    extensions: IEditorExtensionRegistry,
    rendermime: IRenderMimeRegistry,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    browser: IDefaultFileBrowser | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('letta-kernel');
    const message = trans.__('Message to an agent');
    languages.addLanguage(agentCellLanguage(languages, message));
    extensions.addExtension(proseExtension(message));
    // Loaded beforehand, so that a cell does not change its looks some time after its first line did.
    void languages.getLanguage(AGENT_CELL_MIME).catch(console.warn);

    const roster = new Roster(bridge);
    // A cell may have chosen another agent, or made a tool; the connection tells of the project only.
    NotebookActions.executed.connect(() => void roster.refresh());
    const actions = new CellActions(bridge, roster, app.commands, trans);
    const card = new ToolCard(trans);
    const watchers = new Map<NotebookPanel, CellWatcher>();
    const actionsFor = (panel: NotebookPanel, cell: CodeCell) => ({
      chooseAgent: (anchor: HTMLElement) => actions.openAgentMenu(panel, cell, anchor),
      chooseModel: (anchor: HTMLElement) => actions.openModelMenu(panel, cell, anchor),
      runTool: (tool: Parameters<CellActions['runTool']>[1]) => void actions.runTool(panel, tool),
      showTool: card.show.bind(card),
      hideTool: card.hide.bind(card),
      askAboutError: (what: AskedOfError) => {
        const kernel = panel.sessionContext.session?.kernel;
        if (kernel) {
          void askAboutError(cell, what, kernel);
        }
      }
    });
    const watch = (panel: NotebookPanel) => {
      watchers.set(panel, new CellWatcher(panel, roster, languages, actionsFor, trans));
      panel.disposed.connect(() => watchers.delete(panel));
    };
    notebooks.forEach(watch);
    notebooks.widgetAdded.connect((_, panel) => watch(panel));

    const stripOf = (panel: NotebookPanel, cell: CodeCell) =>
      watchers.get(panel)?.strip(cell) ?? null;
    addCommands(app, notebooks, actions, stripOf, palette, trans);
    addShowCell(app, notebooks, trans);
    addDocuments(app, actions, rendermime, { palette, launcher, browser }, trans);
    new RunRecovery(bridge);
  }
};

const plugins: JupyterFrontEndPlugin<unknown>[] = [settings, agentCells];

export default plugins;
