// The plugin of the open notebook: kernels read and change it, proposed changes and answers' code go into it.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';

import { IBridge, OPEN_PANEL } from '../bridge';
import { Approvals, tellRefusal } from '../bridge/approvals';
import type { Bridge } from '../bridge/follow';
import { Waiting, type IWait } from '../bridge/waiting';
import { setPage } from '../ui/page';
import type { Trans } from '../ui/words';
import { Page } from './page';
import { Proposals } from './proposals';
import { Documents } from './serve';

export * from './records';
export { OpenDocument } from './document';

/** The open notebooks, and what waits to be decided in them. */
export interface INotebooks {
  readonly documents: Documents;
  readonly waiting: Waiting;
}

export const INotebooks = new Token<INotebooks>(
  'letta-kernel:notebooks',
  'The open notebooks as agents read and change them.'
);

const notebook: JupyterFrontEndPlugin<INotebooks> = {
  id: 'letta-kernel:notebook',
  description: 'Agents read and change the open notebook; asks for a word where they wait for one.',
  autoStart: true,
  provides: INotebooks,
  requires: [INotebookTracker, IBridge],
  optional: [ITranslator, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    bridge: IBridge,
    translator: ITranslator | null,
    palette: ICommandPalette | null
  ): INotebooks => {
    const trans = (translator ?? nullTranslator).load('letta-kernel');
    const ours = bridge as Bridge; // the one that this extension provides
    const documents = new Documents(ours, notebooks, trans);
    const waiting = new Waiting(ours, tellRefusal);
    const proposals = new Proposals(app, notebooks, documents, waiting, trans);
    setPage(new Page(notebooks, documents, waiting, proposals, trans));
    const show = ({ calls }: IWait) => {
      if (calls.some(call => proposals.shows(call, null))) {
        void proposals.show(calls[0].id);
      } else if (app.commands.hasCommand(OPEN_PANEL)) {
        void app.commands.execute(OPEN_PANEL);
      }
    };
    const approvals = new Approvals(waiting, trans, show, wait => proposals.seen(wait));
    notebooks.currentChanged.connect(() => approvals.compare());
    addCommands(app, proposals, palette, trans);
    return { documents, waiting };
  }
};

function addCommands(
  app: JupyterFrontEnd,
  proposals: Proposals,
  palette: ICommandPalette | null,
  trans: Trans
): void {
  const add = (id: string, label: string, act: () => void) => {
    const command = `letta-kernel:${id}`;
    const isEnabled = () => (proposals.inFront?.count ?? 0) > 0;
    app.commands.addCommand(command, { label, isEnabled, execute: act });
    palette?.addItem({ command, category: trans.__('Agents') });
  };
  const there = () => proposals.inFront;
  add('next-change', trans.__('Next Proposed Change'), () => there()?.go(1));
  add('previous-change', trans.__('Previous Proposed Change'), () => there()?.go(-1));
  add('accept-change', trans.__('Accept the Proposed Change'), () => there()?.decide(true));
  add('reject-change', trans.__('Reject the Proposed Change'), () => there()?.decide(false));
  add('accept-all-changes', trans.__('Accept All Proposed Changes'), () => there()?.decideAll(true));
  add('reject-all-changes', trans.__('Reject All Proposed Changes'), () => there()?.decideAll(false));
}

const plugins: JupyterFrontEndPlugin<unknown>[] = [notebook];

export default plugins;
