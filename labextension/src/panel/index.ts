// The plugins of the side panel "Agents".

import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { FileDialog, IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { PartialJSONObject } from '@lumino/coreutils';
import { Menu } from '@lumino/widgets';

import { IBridge } from '../bridge';
import { highlighter } from '../highlight';
import { openBelow } from '../menus';
import { hostsWith } from '../ui/entries';
import type { Trans } from '../ui/words';
import { Actions } from './actions';
import { Files } from './files';
import { agentIcon } from './icon';
import type { IRemembered } from './model/panel';
import { PanelModel } from './model/panel';
import type { IAgent } from './model/records';
import { AgentsPanel, PANEL_ID } from './panel';
import { IPanelSections, PanelSections } from './sections';

const STATE_KEY = 'letta-kernel:agents-panel';
const CATEGORY = 'Agents';
const RANK = 600;

/** Ids of the panel's commands. Those about an agent take it as `agent`, else the chosen one. */
const COMMANDS = {
  open: 'letta-kernel:open-agents-panel',
  create: 'letta-kernel:new-agent',
  import: 'letta-kernel:import-agent',
  duplicate: 'letta-kernel:duplicate-agent',
  rename: 'letta-kernel:rename-agent',
  model: 'letta-kernel:change-agent-model',
  export: 'letta-kernel:export-agent',
  remove: 'letta-kernel:delete-agent'
} as const;

const agentsPanel: JupyterFrontEndPlugin<IPanelSections> = {
  id: 'letta-kernel:agents-panel',
  description: 'A side panel with the agents of the project behind the notebook in front.',
  autoStart: true,
  provides: IPanelSections,
  requires: [IBridge],
  optional: [
    ILayoutRestorer,
    IStateDB,
    ICommandPalette,
    ITranslator,
    IEditorLanguageRegistry,
    IDefaultFileBrowser
  ],
  activate: (
    app: JupyterFrontEnd,
    bridge: IBridge,
    restorer: ILayoutRestorer | null,
    state: IStateDB | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
    languages: IEditorLanguageRegistry | null,
    browser: IDefaultFileBrowser | null
  ) => {
    const trans = (translator ?? nullTranslator).load('letta-kernel');
    const model = new PanelModel(bridge);
    const actions = new Actions(model, app.commands, trans);
    const sections = new PanelSections();
    addCommands(app, model, actions, trans);
    const menu = agentMenu(app.commands);
    const panel = new AgentsPanel({
      model,
      actions,
      trans,
      sections,
      files: browser && filesOf(app, bridge, browser, translator ?? nullTranslator),
      hosts: hostsWith(highlighter(languages), trans),
      onMenu: (_, below) => {
        openBelow(menu, below);
      }
    });
    app.shell.add(panel, 'right', { rank: RANK, type: 'Agents' });
    restorer?.add(panel, PANEL_ID);
    for (const command of Object.values(COMMANDS)) {
      palette?.addItem({ command, category: trans.__(CATEGORY) });
    }
    if (state) {
      void remember(model, state);
    }
    return sections;
  }
};

/** Files as the panel needs them, named from the folder of the notebook in front. */
function filesOf(
  app: JupyterFrontEnd,
  bridge: IBridge,
  browser: IDefaultFileBrowser,
  translator: ITranslator
): Files {
  const { manager } = browser.model;
  const trans = translator.load('letta-kernel');
  const pick = async () => {
    const title = trans.__('Name files in the message');
    const defaultPath = bridge.folder;
    const { value } = await FileDialog.getOpenFiles({ manager, title, defaultPath, translator });
    return (value ?? []).map(({ path }) => path);
  };
  return new Files(app.serviceManager.contents, () => bridge.folder, pick, trans);
}

/** Take up where the last session ended, and keep what is chosen from then on. */
async function remember(model: PanelModel, state: IStateDB): Promise<void> {
  const kept = await state.fetch(STATE_KEY).catch(() => undefined);
  if (typeof kept === 'object' && kept !== null) {
    model.restore(kept as Partial<IRemembered>);
  }
  let saved = JSON.stringify(model.remembered);
  model.changed.connect(() => {
    const now = JSON.stringify(model.remembered);
    if (now !== saved) {
      saved = now;
      void state.save(STATE_KEY, JSON.parse(now) as PartialJSONObject);
    }
  });
}

function addCommands(
  app: JupyterFrontEnd,
  model: PanelModel,
  actions: Actions,
  trans: Trans
): void {
  const { commands, shell } = app;
  const ready = () => model.bridge.answeredBy !== null;
  const meant = (id: unknown): IAgent | null =>
    typeof id === 'string'
      ? (model.all.find(agent => agent.id === id || agent.name === id) ?? null)
      : model.agent;
  const own = (id: unknown) => {
    const agent = meant(id);
    return agent?.shared ? null : agent; // what is somebody else's is not changed here
  };
  const about = (id: string, label: string, act: (agent: IAgent) => Promise<void>) =>
    commands.addCommand(id, {
      label,
      isEnabled: args => ready() && own(args.agent) !== null,
      execute: async args => {
        const agent = own(args.agent);
        if (agent) {
          await act(agent);
        }
      }
    });
  commands.addCommand(COMMANDS.open, {
    label: trans.__('Show the Agents Panel'),
    icon: agentIcon,
    execute: async () => {
      shell.activateById(PANEL_ID);
      // The palette, which closes now, gives the focus back to where it was.
      await new Promise(resolve => setTimeout(resolve));
      shell.activateById(PANEL_ID);
    }
  });
  commands.addCommand(COMMANDS.create, {
    label: trans.__('New Agent…'),
    isEnabled: ready,
    execute: () => actions.create()
  });
  commands.addCommand(COMMANDS.import, {
    label: trans.__('Import an Agent…'),
    isEnabled: ready,
    execute: () => actions.import()
  });
  about(COMMANDS.duplicate, trans.__('Duplicate Agent…'), agent => actions.duplicate(agent));
  about(COMMANDS.rename, trans.__('Rename Agent…'), agent => actions.rename(agent));
  about(COMMANDS.model, trans.__('Change the Model of the Agent…'), a => actions.changeModel(a));
  about(COMMANDS.export, trans.__('Export Agent'), agent => actions.export(agent));
  about(COMMANDS.remove, trans.__('Delete Agent…'), agent => actions.remove(agent));
}

function agentMenu(commands: CommandRegistry): Menu {
  const menu = new Menu({ commands });
  for (const command of [COMMANDS.rename, COMMANDS.model, COMMANDS.duplicate, COMMANDS.export]) {
    menu.addItem({ command });
  }
  menu.addItem({ type: 'separator' });
  menu.addItem({ command: COMMANDS.remove });
  return menu;
}

const plugins: JupyterFrontEndPlugin<unknown>[] = [agentsPanel];

export default plugins;
