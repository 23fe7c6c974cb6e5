// The commands of agent cells.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { CodeCell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { agentIcon } from '../panel/icon';
import type { Trans } from '../ui/words';
import {
  CHOOSE_AGENT,
  CHOOSE_MODEL,
  INSERT,
  NEW_AGENT,
  RUN_TOOL,
  SET_AGENT,
  SET_MODEL,
  type CellActions
} from './actions';
import { readFirstLine } from './firstline';
import type { CellStrip } from './strip';

/** What a command is about. */
interface ITarget {
  readonly panel: NotebookPanel;
  readonly cell: CodeCell;
}

/** Add the commands; `stripOf` finds the strip above a cell. */
export function addCommands(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker,
  actions: CellActions,
  stripOf: (panel: NotebookPanel, cell: CodeCell) => CellStrip | null,
  palette: ICommandPalette | null,
  trans: Trans
): void {
  const { commands } = app;
  const inNotebook = () => notebooks.currentWidget === app.shell.currentWidget;
  const changed = () =>
    [INSERT, CHOOSE_AGENT, CHOOSE_MODEL, RUN_TOOL].forEach(id =>
      commands.notifyCommandChanged(id)
    );

  /** The cell that arguments name, else the active one. */
  const target = (args: ReadonlyPartialJSONObject = {}): ITarget | null => {
    const panel = notebooks.currentWidget;
    const cell =
      typeof args.cell === 'string'
        ? panel?.content.widgets.find(widget => widget.model.id === args.cell)
        : panel?.content.activeCell;
    return panel && cell?.model.type === 'code' ? { panel, cell: cell as CodeCell } : null;
  };
  const agentCell = (args: ReadonlyPartialJSONObject = {}) => {
    const found = target(args);
    const line = found && readFirstLine(found.cell.model.sharedModel.source);
    return found && line ? { ...found, line } : null;
  };
  const anchor = ({ panel, cell }: ITarget) =>
    stripOf(panel, cell)?.agentButton ?? (cell.editorWidget?.node as HTMLElement) ?? cell.node;

  commands.addCommand(INSERT, {
    label: trans.__('Insert Agent Cell'),
    caption: trans.__('Insert a cell that talks to an agent below this one'),
    icon: agentIcon,
    describedBy: {
      args: {
        type: 'object',
        properties: { agent: { type: 'string', description: trans.__('Whom the cell is for') } }
      }
    },
    isEnabled: () => inNotebook() && notebooks.currentWidget !== null,
    execute: async args => {
      const panel = notebooks.currentWidget;
      if (panel) {
        await actions.insert(panel, typeof args.agent === 'string' ? args.agent : '');
      }
    }
  });
  commands.addCommand(CHOOSE_AGENT, {
    label: trans.__('Choose the Agent of This Cell…'),
    caption: trans.__('Open the menu of agents for the active agent cell'),
    isEnabled: () => inNotebook() && agentCell() !== null,
    execute: () => {
      const found = agentCell();
      if (found) {
        actions.openAgentMenu(found.panel, found.cell, anchor(found));
      }
    }
  });
  commands.addCommand(CHOOSE_MODEL, {
    label: trans.__('Choose the Model of This Cell…'),
    caption: trans.__('Open the menu of models for the active agent cell'),
    isEnabled: () => inNotebook() && agentCell() !== null,
    execute: () => {
      const found = agentCell();
      if (found) {
        actions.openModelMenu(found.panel, found.cell, anchor(found));
      }
    }
  });
  commands.addCommand(SET_AGENT, {
    label: args => String(args.agent || trans.__('Whom the notebook talks to')),
    isToggleable: true,
    isToggled: args => agentCell(args)?.line.agent === args.agent,
    isVisible: args => typeof args.agent === 'string',
    execute: args => {
      const found = agentCell(args);
      if (found) {
        actions.setAgent(found.cell, String(args.agent ?? ''));
      }
    }
  });
  commands.addCommand(SET_MODEL, {
    label: args => String(args.model || trans.__("The agent's own model")),
    isToggleable: true,
    isToggled: args => agentCell(args)?.line.model === args.model,
    isVisible: args => typeof args.model === 'string',
    execute: args => {
      const found = agentCell(args);
      if (found) {
        actions.setModel(found.cell, String(args.model ?? ''));
      }
    }
  });
  commands.addCommand(NEW_AGENT, {
    label: trans.__('New Agent…'),
    caption: trans.__('Make an agent and send this cell to it'),
    isEnabled: args => agentCell(args) !== null,
    execute: async args => {
      const found = agentCell(args);
      if (found) {
        await actions.newAgent(found.cell);
      }
    }
  });
  commands.addCommand(RUN_TOOL, {
    label: trans.__('Run a Tool of This Cell…'),
    caption: trans.__('Ask for the arguments of the tool that the active cell defines, and run it'),
    describedBy: {
      args: {
        type: 'object',
        properties: { name: { type: 'string', description: trans.__('Which of its tools') } }
      }
    },
    isEnabled: () => {
      const found = target();
      return inNotebook() && found !== null && actions.toolsOf(found.panel, found.cell.model.id).length > 0;
    },
    execute: async args => {
      const found = target();
      const tools = found ? actions.toolsOf(found.panel, found.cell.model.id) : [];
      const tool = tools.find(one => one.name === args.name) ?? tools[0];
      if (found && tool) {
        await actions.runTool(found.panel, tool);
      }
    }
  });

  notebooks.activeCellChanged.connect(changed);
  notebooks.currentChanged.connect(changed);
  app.shell.currentChanged?.connect(changed);
  for (const command of [INSERT, CHOOSE_AGENT, CHOOSE_MODEL, RUN_TOOL]) {
    palette?.addItem({ command, category: trans.__('Agents') });
  }
}
