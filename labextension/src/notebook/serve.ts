// Tells kernels which of their notebooks are open in this page, and answers what they ask of them.

import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { JSONObject } from '@lumino/coreutils';

import { KernelRpc } from '../bridge/rpc';
import type { Bridge } from '../bridge/follow';
import type { PanelRpc } from '../bridge/protocol';
import { ServerRpc } from '../bridge/server';
import type { Trans } from '../ui/words';
import { hasKernel, OpenDocument } from './document';
import { DocumentError } from './records';

/** The open notebooks of this page. */
export class Documents {
  constructor(
    bridge: Bridge,
    private readonly _notebooks: INotebookTracker,
    private readonly _trans: Trans
  ) {
    this._bridge = bridge;
    bridge.rpcsChanged.connect(() => this._look());
    _notebooks.currentChanged.connect((_, panel) => {
      if (panel) {
        this._recent = [panel, ...this._recent.filter(one => one !== panel && !one.isDisposed)];
      }
      this._look();
    });
    _notebooks.widgetAdded.connect((_, panel) => this._follow(panel));
    _notebooks.forEach(panel => this._follow(panel));
    // Of several pages with one notebook, that in front is the one that was looked at last.
    window.addEventListener('focus', () => this._look(true));
    window.addEventListener('pagehide', () => {
      for (const [rpc, said] of this._told) {
        rpc.tell({ ...JSON.parse(said), open: false, active: false });
      }
      this._told.clear(); // should the page come back, it says so again
    });
    this._look();
  }

  /** All open notebooks, that in front first. */
  get all(): OpenDocument[] {
    const others: NotebookPanel[] = [];
    this._notebooks.forEach(panel => this._recent.includes(panel) || others.push(panel));
    return [...this._recent, ...others]
      .filter(panel => !panel.isDisposed)
      .map(panel => OpenDocument.of(panel, this._trans));
  }

  /** The notebook of a kernel that is open here; that in front, of several views. */
  of(rpc: KernelRpc): OpenDocument | null {
    return this.all.find(({ panel }) => hasKernel(panel, rpc.kernel)) ?? null;
  }

  /** The connection of a notebook's kernel, if it can be asked. */
  rpc(panel: NotebookPanel): KernelRpc | null {
    return this._bridge.rpcs.find(rpc => hasKernel(panel, rpc.kernel)) ?? null;
  }

  /** Say again which notebook is in front: what is decided here is done here. */
  announce(): void {
    this._look(true);
  }

  private _follow(panel: NotebookPanel): void {
    panel.context.pathChanged.connect(() => this._look());
    panel.sessionContext.kernelChanged.connect(() => this._look());
    panel.disposed.connect(() => {
      this._recent = this._recent.filter(one => one !== panel);
      this._look();
    });
    this._look();
  }

  /** The notebook that the server's connection of a folder is told of: that in front, of those in the folder. */
  private _served(rpc: ServerRpc): OpenDocument | null {
    return this.all.find(({ path }) => this._bridge.folderOf(path) === rpc.folder) ?? null;
  }

  /** Tell every kernel what it does not know yet; *again*: the one in front in any case. */
  private _look(again = false): void {
    const { allRpcs: rpcs } = this._bridge;
    for (const rpc of this._told.keys()) {
      if (!rpcs.includes(rpc)) {
        this._told.delete(rpc); // it is told anew when it is back
      }
    }
    for (const rpc of rpcs) {
      rpc.answerer ??= (method, params) => this._answer(rpc, method, params);
      const found = this._open(rpc);
      const active = found !== null && found.panel === this._notebooks.currentWidget;
      const said = { type: 'document', open: found !== null, path: found?.path ?? '', active };
      const key = JSON.stringify(said);
      if (this._told.get(rpc) !== key || (again && active)) {
        this._told.set(rpc, key);
        rpc.tell(said);
      }
    }
  }

  private _open(rpc: PanelRpc): OpenDocument | null {
    return rpc instanceof ServerRpc ? this._served(rpc) : rpc instanceof KernelRpc ? this.of(rpc) : null;
  }

  private async _answer(rpc: PanelRpc, method: string, params: JSONObject): Promise<unknown> {
    const found = this._open(rpc);
    if (!found) {
      throw new DocumentError('Closed', this._trans.__('The notebook is not open any more.'));
    }
    switch (method) {
      case 'document.read':
        return found.read();
      case 'document.apply':
        return found.apply(params as never);
      case 'document.output':
        return found.output(params as never);
      case 'document.undo':
        return found.undo(params as never);
      case 'notebook.call':
        return this._call(rpc, found, params);
      default:
        throw new DocumentError('Invalid', this._trans.__('This page does not know %1.', method));
    }
  }

  /** Have the kernel of a notebook carry out a call of a run elsewhere; that waits for it to be free. */
  private async _call(rpc: PanelRpc, { panel }: OpenDocument, params: JSONObject): Promise<unknown> {
    const kernel = this.rpc(panel);
    if (!kernel) {
      throw new DocumentError('Closed', this._trans.__('The notebook has no kernel that could do it.'));
    }
    if (kernel.busy) {
      const text = this._trans.__('%1 waits for the kernel to be free.', String(params.tool));
      rpc.note(String(params.run), String(params.agent), text);
    }
    return kernel.request('notebook.call', params);
  }

  private readonly _bridge: Bridge;
  private _recent: NotebookPanel[] = [];
  private readonly _told = new Map<PanelRpc, string>();
}
