// What is done to agent cells: inserting one, choosing its agent and model, running a tool by hand.

import { InputDialog, Notification, showErrorMessage } from '@jupyterlab/apputils';
import { isCodeCellModel, type CodeCell } from '@jupyterlab/cells';
import type { Notebook, NotebookPanel } from '@jupyterlab/notebook';
import { MenuSvg } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { Menu } from '@lumino/widgets';

import type { IBridge } from '../bridge/bridge';
import { openBelow } from '../menus';
import { oneLine, type Trans, messageOf } from '../ui/words';
import { agentCell, readFirstLine, withAgent, withModel } from './firstline';
import { showToolForm, type IToolOutcome } from './form';
import { sharedOf, type IFacts, type IToolEntry, type Roster } from './roster';

export const INSERT = 'letta-kernel:insert-agent-cell';
export const CHOOSE_AGENT = 'letta-kernel:choose-cell-agent';
export const CHOOSE_MODEL = 'letta-kernel:choose-cell-model';
export const SET_AGENT = 'letta-kernel:set-cell-agent';
export const SET_MODEL = 'letta-kernel:set-cell-model';
export const NEW_AGENT = 'letta-kernel:new-cell-agent';
export const RUN_TOOL = 'letta-kernel:run-cell-tool';

/** What agent cells can be asked to do. */
export class CellActions {
  constructor(
    private readonly _bridge: IBridge,
    private readonly _roster: Roster,
    private readonly _commands: CommandRegistry,
    private readonly _trans: Trans
  ) {}

  /** Put an agent cell below the active cell, or into it if it is empty, ready for the message. */
  async insert(panel: NotebookPanel, agent = ''): Promise<void> {
    const notebook = panel.content;
    const shared = notebook.model?.sharedModel;
    if (!shared) {
      return;
    }
    const source = agentCell(agent);
    const active = notebook.activeCell;
    if (active && isCodeCellModel(active.model) && active.model.sharedModel.source.trim() === '') {
      active.model.sharedModel.setSource(source);
    } else {
      const at = active ? notebook.activeCellIndex + 1 : 0;
      shared.insertCell(at, { cell_type: 'code', source, metadata: { trusted: true } });
      notebook.activeCellIndex = at;
    }
    notebook.deselectAll();
    await this._edit(notebook);
  }

  /** The menu of agents for a cell. */
  openAgentMenu(panel: NotebookPanel, cell: CodeCell, anchor: HTMLElement): void {
    const facts = this._roster.facts(panel);
    const menu = this._menu(this._trans.__('Agent of this cell'));
    const args = { cell: cell.model.id };
    menu.addItem({ command: SET_AGENT, args: { ...args, agent: '' } });
    for (const agent of facts?.agents ?? []) {
      menu.addItem({ command: SET_AGENT, args: { ...args, agent: agent.name } });
    }
    for (const agent of facts?.shared ?? []) {
      menu.addItem({ command: SET_AGENT, args: { ...args, agent } });
    }
    menu.addItem({ type: 'separator' });
    menu.addItem({ command: NEW_AGENT, args });
    openBelow(menu, anchor);
  }

  /** The menu of models for a cell. */
  openModelMenu(panel: NotebookPanel, cell: CodeCell, anchor: HTMLElement): void {
    const chosen = readFirstLine(cell.model.sharedModel.source)?.model ?? '';
    const known = this._roster.facts(panel)?.models ?? [];
    const menu = this._menu(this._trans.__('Model of this cell'));
    for (const model of new Set(['', ...(chosen ? [chosen] : []), ...known])) {
      menu.addItem({ command: SET_MODEL, args: { cell: cell.model.id, model } });
    }
    openBelow(menu, anchor);
  }

  setAgent(cell: CodeCell, agent: string): void {
    rewrite(cell, source => withAgent(source, agent));
  }

  setModel(cell: CodeCell, model: string): void {
    rewrite(cell, source => withModel(source, model));
  }

  /** Make an agent and let the cell be for it. */
  async newAgent(cell: CodeCell): Promise<void> {
    const asked = await InputDialog.getText({
      title: this._trans.__('New agent'),
      label: this._trans.__('Name'),
      okLabel: this._trans.__('Create')
    });
    const name = asked.value?.trim() ?? '';
    if (!asked.button.accept || name === '') {
      return;
    }
    try {
      await this._bridge.request('agent.create', { name });
    } catch (error) {
      await showErrorMessage(this._trans.__('No agent was made'), message(error));
      return;
    }
    if (!cell.isDisposed) {
      this.setAgent(cell, name);
    }
    void this._roster.refresh();
  }

  /** Ask for a tool's arguments and run it. */
  async runTool(panel: NotebookPanel, tool: IToolEntry): Promise<void> {
    const facts = this._roster.facts(panel);
    const agent = facts && agentOf(facts);
    if (!agent || this._bridge.panel !== panel) {
      Notification.info(
        this._trans.__('A tool is run for an agent, and this notebook has none yet.')
      );
      return;
    }
    const call = (given: Record<string, unknown>) =>
      this._bridge.request<IToolOutcome>('tool.run', {
        agent,
        name: tool.name,
        arguments: given
      });
    await showToolForm(tool, call, this._trans);
  }

  /** The tools that a cell defines. */
  toolsOf(panel: NotebookPanel, cellId: string): readonly IToolEntry[] {
    const tools = this._roster.facts(panel)?.tools ?? [];
    return tools.filter(tool => tool.cell_id === cellId);
  }

  private _menu(label: string): Menu {
    const menu = new MenuSvg({ commands: this._commands });
    menu.addClass('lk-CellMenu');
    menu.node.setAttribute('aria-label', label);
    // After the item that was chosen has run.
    menu.aboutToClose.connect(() => requestAnimationFrame(() => menu.dispose()));
    return menu;
  }

  /** Edit the active cell below its first line. */
  private async _edit(notebook: Notebook): Promise<void> {
    const cell = notebook.activeCell;
    notebook.mode = 'edit';
    await cell?.ready;
    const editor = cell?.editor;
    if (editor && notebook.activeCell === cell) {
      editor.focus();
      editor.setCursorPosition({ line: editor.lineCount - 1, column: 0 });
    }
  }
}

/** Change the first line of a cell and nothing else, so that cursors below it stay. */
function rewrite(cell: CodeCell, change: (source: string) => string): void {
  const shared = cell.model.sharedModel;
  const source = shared.source;
  const before = source.split('\n', 1)[0];
  const after = change(source).split('\n', 1)[0];
  if (before !== after) {
    shared.updateSource(0, before.length, after);
  }
}

/** Whom a tool of the notebook is run for: whom the notebook talks to, else anyone. */
function agentOf(facts: IFacts): string | null {
  return (sharedOf(facts) ? null : facts.current) ?? facts.agents[0]?.id ?? null;
}

function message(error: unknown): string {
  return oneLine(messageOf(error), 1000);
}
