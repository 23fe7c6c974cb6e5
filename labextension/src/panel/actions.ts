// What can be done with agents, with the dialogs it takes.

import { Dialog, InputDialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import type { CommandRegistry } from '@lumino/commands';

import { SHOW_CELL } from '../cells/showcell';
import { oneLine, type Trans } from '../ui/words';
import { KeyForm, type IKeys } from './keys';
import type { PanelModel } from './model/panel';
import { messageOf } from './model/part';
import type { IAgent, IModelInfo, ITool } from './model/records';
import { NewAgent } from './newagent';

/** The largest agent file that is read. */
const LARGEST_FILE = 100_000_000;

export class Actions {
  constructor(
    private model: PanelModel,
    private commands: CommandRegistry,
    private trans: Trans
  ) {}

  async create(): Promise<void> {
    const { trans } = this;
    const body = new NewAgent(await this._models(), trans);
    const { button, value } = await showDialog({
      title: trans.__('New agent'),
      body,
      focusNodeSelector: 'input',
      buttons: this._buttons(trans.__('Create'))
    });
    if (button.accept && value?.name) {
      await this._change('agent.create', value, trans.__('The agent was not created'));
    }
  }

  /** Say where keys are taken from, and hand one to the kernel, which keeps it outside the notebook. */
  async keys(): Promise<void> {
    const { trans } = this;
    const failed = trans.__('The key was not kept');
    try {
      const known = await this.model.bridge.request<IKeys>('keys');
      const { button, value } = await showDialog({
        title: trans.__('Keys of model providers'),
        body: new KeyForm(known, trans),
        focusNodeSelector: 'input',
        buttons: this._buttons(trans.__('Keep'))
      });
      if (button.accept && value?.key) {
        const kept = await this.model.bridge.request<{ place: string }>('key.keep', { ...value });
        await showDialog({
          title: trans.__('The key is kept'),
          body: trans.__('%1 is in %2.', value.variable, kept.place),
          buttons: [Dialog.okButton({ label: trans.__('OK') })]
        });
      }
    } catch (error) {
      await this._tell(failed, error);
    }
  }

  async duplicate(agent: IAgent): Promise<void> {
    const { trans } = this;
    const title = trans.__('Duplicate %1', oneLine(agent.name, 60));
    const name = await this.askName(title, this._freeName(agent.name), trans.__('Duplicate'));
    if (name) {
      const params = { agent: agent.id, name };
      await this._change('agent.duplicate', params, trans.__('The agent was not duplicated'));
    }
  }

  async rename(agent: IAgent): Promise<void> {
    const { trans } = this;
    const title = trans.__('Rename %1', oneLine(agent.name, 60));
    const name = await this.askName(title, agent.name, trans.__('Rename'));
    if (name && name !== agent.name) {
      const params = { agent: agent.id, name };
      await this._change('agent.rename', params, trans.__('The agent was not renamed'));
    }
  }

  async changeModel(agent: IAgent): Promise<void> {
    const { trans } = this;
    const { button, value } = await InputDialog.getItem({
      title: trans.__('Model of %1', oneLine(agent.name, 60)),
      label: trans.__('A model of the list, or any other as provider/name'),
      items: await this._models(),
      current: agent.answers,
      editable: true,
      okLabel: trans.__('Use')
    });
    const model = value?.trim();
    if (button.accept && model && model !== agent.model) {
      await this.useModel(agent, model);
    }
  }

  async useModel(agent: IAgent, model: string): Promise<void> {
    const params = { agent: agent.id, model };
    await this._change('agent.model', params, this.trans.__('The model was not changed'));
  }

  async remove(agent: IAgent): Promise<void> {
    const { trans } = this;
    const { button } = await showDialog({
      title: trans.__('Delete %1?', oneLine(agent.name, 60)),
      body: trans.__('Its memory, its archive and its messages are deleted for good.'),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.warnButton({ label: trans.__('Delete') })
      ]
    });
    if (button.accept) {
      const params = { agent: agent.id };
      await this._change('agent.delete', params, trans.__('The agent was not deleted'));
    }
  }

  /** Save an agent as a file on the person's machine. */
  async export(agent: IAgent): Promise<void> {
    try {
      const data = await this.model.bridge.request('agent.export', { agent: agent.id });
      const file = new Blob([JSON.stringify(data, null, 2)], { type: 'application/json' });
      const link = document.createElement('a');
      link.href = URL.createObjectURL(file);
      link.download = `${agent.name.replace(/[^\p{L}\p{N}._-]+/gu, '_') || 'agent'}.af`;
      link.click();
      window.setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      await this._tell(this.trans.__('The agent was not exported'), error);
    }
  }

  /** Ask for an agent file and make an agent of it. */
  import(): Promise<void> {
    const input = document.createElement('input');
    input.type = 'file';
    input.accept = '.af,.json,application/json';
    return new Promise(resolve => {
      input.oncancel = () => resolve();
      input.onchange = () => resolve(this._import(input.files?.[0]));
      input.click();
    });
  }

  /** Show the cell a tool was written in. */
  async showCell(tool: ITool): Promise<void> {
    const { trans } = this;
    const panel = this.model.bridge.panel;
    const shown = await this.commands
      .execute(SHOW_CELL, { path: tool.notebook, cell: tool.cell_id })
      .catch(() => false);
    if (!shown) {
      await this._tell(
        trans.__('The cell is not there'),
        panel
          ? trans.__('The cell that defined %1 is no longer in its notebook.', tool.name)
          : trans.__('No notebook is open.')
      );
    }
  }

  /** Ask for a name; empty: there is to be none. */
  async askName(title: string, text: string, okLabel: string): Promise<string> {
    const label = this.trans.__('Name');
    const { button, value } = await InputDialog.getText({ title, label, text, okLabel });
    return button.accept ? (value?.trim() ?? '') : '';
  }

  /** Ask before something that cannot be undone. */
  async confirm(title: string, body: string, label: string): Promise<boolean> {
    const { button } = await showDialog({
      title,
      body,
      buttons: [
        Dialog.cancelButton({ label: this.trans.__('Cancel') }),
        Dialog.warnButton({ label })
      ]
    });
    return button.accept;
  }

  private async _import(file: File | undefined): Promise<void> {
    if (!file) {
      return;
    }
    const { trans } = this;
    const failed = trans.__('The agent was not imported');
    let data: unknown = null;
    try {
      data = file.size <= LARGEST_FILE ? JSON.parse(await file.text()) : null;
    } catch {
      // told below
    }
    if (typeof data !== 'object' || data === null) {
      await this._tell(failed, trans.__('%1 is no agent file.', oneLine(file.name, 60)));
      return;
    }
    const made = await this._change('agent.import', { data }, failed);
    const { detached, notes } = (made ?? {}) as { detached?: string[]; notes?: string[] };
    const lines = [
      ...(notes ?? []),
      detached?.length
        ? trans.__('Look at these tools before you give them to it: %1', detached.join(', '))
        : ''
    ].filter(Boolean);
    if (lines.length) {
      await showDialog({
        title: trans.__('The agent was imported'),
        body: lines.join('\n'),
        buttons: [Dialog.okButton({ label: trans.__('OK') })]
      });
    }
  }

  /** Ask the kernel for a change, and look at the agent that came of it. */
  private async _change(method: string, params: object, failed: string): Promise<unknown> {
    try {
      const result = await this.model.change(method, params);
      const id = (result as { id?: unknown } | null)?.id;
      if (typeof id === 'string') {
        this.model.choose(id);
      }
      return result;
    } catch (error) {
      await this._tell(failed, error);
      return null;
    }
  }

  private _freeName(name: string): string {
    const names = this.model.agents.map(agent => agent.name);
    let number = 2;
    while (names.includes(`${name}-${number}`)) {
      number++;
    }
    return `${name}-${number}`;
  }

  private async _models(): Promise<string[]> {
    try {
      const models = await this.model.bridge.request<IModelInfo[]>('models');
      return models.filter(({ usable }) => usable).map(({ name }) => name);
    } catch {
      return []; // any name can be written
    }
  }

  private _buttons(label: string): Dialog.IButton[] {
    return [
      Dialog.cancelButton({ label: this.trans.__('Cancel') }),
      Dialog.okButton({ label })
    ];
  }

  private _tell(title: string, error: unknown): Promise<void> {
    return showErrorMessage(title, messageOf(error), [
      Dialog.okButton({ label: this.trans.__('OK') })
    ]);
  }
}
