// Notebooks to begin with, and the documentation: the launcher's card and the entries of the help menu.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, Notification, type ICommandPalette } from '@jupyterlab/apputils';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import type { INotebookContent } from '@jupyterlab/nbformat';
import type { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import type { ILauncher } from '@jupyterlab/launcher';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { MimeModel, type IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ServerConnection } from '@jupyterlab/services';
import { BoxPanel, Widget } from '@lumino/widgets';

import { agentIcon } from '../panel/icon';
import type { Trans } from '../ui/words';
import type { CellActions } from './actions';

const NEW_NOTEBOOK = 'letta-kernel:new-agent-notebook';
const QUICKSTART = 'letta-kernel:open-quickstart';
const DOCUMENTATION = 'letta-kernel:open-documentation';
const SETTINGS = 'letta-kernel:open-settings';

const KERNEL = 'letta';
const LOAD_EXT = '%load_ext letta_kernel';

/** Parts of JupyterLab that may be missing. */
export interface IPlaces {
  readonly palette: ICommandPalette | null;
  readonly launcher: ILauncher | null;
  readonly browser: IDefaultFileBrowser | null;
}

/** Add the commands and the launcher's card. */
export function addDocuments(
  app: JupyterFrontEnd,
  actions: CellActions,
  rendermime: IRenderMimeRegistry,
  { palette, launcher, browser }: IPlaces,
  trans: Trans
): void {
  const { commands } = app;
  const folder = (given: unknown) =>
    typeof given === 'string' ? given : (browser?.model.path ?? '');

  /** The kernel that has agents; where it is not installed, the usual one, which can load them. */
  const hasKernel = async () => {
    await app.serviceManager.kernelspecs.ready;
    return app.serviceManager.kernelspecs.specs?.kernelspecs[KERNEL] !== undefined;
  };

  commands.addCommand(NEW_NOTEBOOK, {
    label: args => (args.isPalette ? trans.__('New Agent Notebook') : trans.__('Agent notebook')),
    caption: trans.__('Create a notebook whose first cell talks to an agent'),
    icon: args => (args.isPalette ? undefined : agentIcon),
    execute: async args => {
      const there = await hasKernel();
      const panel: NotebookPanel = await commands.execute('notebook:create-new', {
        cwd: folder(args.cwd),
        ...(there ? { kernelName: KERNEL } : {})
      });
      await panel.context.ready;
      await panel.revealed;
      if (!there) {
        panel.content.model?.sharedModel.insertCell(0, { cell_type: 'code', source: LOAD_EXT });
        panel.content.activeCellIndex = 1;
      }
      await actions.insert(panel);
      return panel;
    }
  });

  commands.addCommand(QUICKSTART, {
    label: args => (args.isPalette ? trans.__('Open the Quickstart') : trans.__('Agents Quickstart')),
    caption: trans.__('Open a copy of the notebook that shows what agents can do'),
    execute: async args => {
      const content = JSON.parse(await fetchText('quickstart.ipynb')) as INotebookContent;
      const drawn = await fetchText('quickstart.svg');
      for (const cell of content.cells) {
        if (cell.cell_type === 'markdown') {
          cell.source = copiedText([cell.source].flat().join(''), drawn);
        }
      }
      const { contents } = app.serviceManager;
      const made = await contents.newUntitled({ path: folder(args.cwd), type: 'notebook' });
      await contents.save(made.path, { type: 'notebook', format: 'json', content });
      return commands.execute('docmanager:open', { path: made.path, factory: 'Notebook' });
    }
  });

  let shown: MainAreaWidget | null = null;
  commands.addCommand(DOCUMENTATION, {
    label: args =>
      args.isPalette ? trans.__('Open the Documentation') : trans.__('Agents Documentation'),
    caption: trans.__('Read what letta-kernel is and how it is used'),
    execute: async () => {
      if (shown === null || shown.isDisposed) {
        const text = documentText(
          await fetchText('README.md'),
          addressOf(''),
          document.body.dataset.jpThemeLight !== 'false'
        );
        shown = documentation(text, rendermime, trans);
        app.shell.add(shown, 'main');
      }
      app.shell.activateById(shown.id);
    }
  });

  commands.addCommand(SETTINGS, {
    label: trans.__('Settings of Agents…'),
    caption: trans.__('Default model, approval policy, streaming, what folds'),
    isEnabled: () => commands.hasCommand('settingeditor:open'),
    execute: () => commands.execute('settingeditor:open', { query: 'letta-kernel' })
  });

  // A card of this category shows the picture at an address; without one, a letter.
  const picture = agentIcon.svgstr.replace(/#616161/g, '#8f5fd7'); // no theme reaches into it
  const kernelIconUrl = `data:image/svg+xml,${encodeURIComponent(picture)}`;
  const card = { command: NEW_NOTEBOOK, category: trans.__('Notebook'), rank: 100 };
  launcher?.add({ ...card, kernelIconUrl });
  const category = trans.__('Agents');
  palette?.addItem({ command: NEW_NOTEBOOK, category, args: { isPalette: true } });
  palette?.addItem({ command: QUICKSTART, category, args: { isPalette: true } });
  palette?.addItem({ command: DOCUMENTATION, category, args: { isPalette: true } });
  palette?.addItem({ command: SETTINGS, category });

  /** The address of a file that came with the extension, or of their folder. */
  function addressOf(name: string): string {
    const extensions = PageConfig.getOption('fullLabextensionsUrl');
    const path = URLExt.join(extensions, 'letta-kernel', 'documents', name);
    return new URL(path, app.serviceManager.serverSettings.baseUrl).href;
  }

  async function fetchText(name: string): Promise<string> {
    const settings = app.serviceManager.serverSettings;
    const answer = await ServerConnection.makeRequest(addressOf(name), {}, settings);
    if (!answer.ok) {
      const text = trans.__('%1 is not part of this installation of letta-kernel.', name);
      Notification.error(text, { autoClose: 10_000 });
      throw new Error(text);
    }
    return answer.text();
  }
}

/**
 * The documentation as it is shown here: of the pictures with two forms the one for the theme, from the
 * folder at `base`; links to files of the repository, which are not here, as words.
 */
export function documentText(text: string, base: string, light: boolean): string {
  const picture = (path: string) => `${base.replace(/\/$/, '')}/${path}`;
  const pictured = text
    .replace(/<picture>([\s\S]*?)<\/picture>/g, (_, inner: string) => {
      const dark = /<source[^>]*prefers-color-scheme: dark[^>]*srcset="([^"]*)"/.exec(inner)?.[1];
      const image = /<img[^>]*>/.exec(inner)?.[0] ?? '';
      return light || !dark ? image : image.replace(/src="[^"]*"/, `src="${dark}"`);
    })
    .replace(/(<img[^>]*\ssrc=")(?!https?:)([^"]*)/g, (_, before: string, path: string) =>
      before + picture(path)
    )
    .replace(/(!\[[^\]]*\]\()(?!https?:)([^)]*)\)/g, (_, before: string, path: string) =>
      `${before}${picture(path)})`
    );
  return linksAsWords(pictured);
}

/** A cell's text in a copy of its notebook: the picture `drawn` (SVG) is within it, links to files are words. */
export function copiedText(text: string, drawn: string): string {
  // A bracket would end the address in Markdown.
  const data = encodeURIComponent(drawn).replace(/\(/g, '%28').replace(/\)/g, '%29');
  const picture = /(!\[[^\]]*\]\()(?!https?:)[^)]*\)/g;
  return linksAsWords(
    text.replace(picture, (_, before: string) => `${before}data:image/svg+xml,${data})`)
  );
}

function linksAsWords(text: string): string {
  return text.replace(/(^|[^!])\[([^\]]*)\]\((?!https?:|#|mailto:|data:)[^)]*\)/g, '$1$2');
}

function documentation(
  text: string,
  rendermime: IRenderMimeRegistry,
  trans: Trans
): MainAreaWidget {
  const renderer = rendermime.createRenderer('text/markdown');
  const page = new BoxPanel({ direction: 'top-to-bottom' });
  page.addClass('lk-Documentation');
  page.addWidget(renderer as Widget);
  const widget = new MainAreaWidget({ content: page });
  widget.id = 'letta-kernel-documentation';
  widget.title.label = trans.__('Agents Documentation');
  widget.title.icon = agentIcon;
  widget.title.closable = true;
  const data = { 'text/markdown': text };
  void renderer.renderModel(new MimeModel({ data, trusted: false }));
  return widget;
}
