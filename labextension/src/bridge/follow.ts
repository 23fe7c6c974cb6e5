// The bridge: follows the notebook in front, and keeps a connection for the kernel of every open notebook.

import { PathExt } from '@jupyterlab/coreutils';
import { NotebookActions, type INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import type { Contents, Kernel, ServerConnection } from '@jupyterlab/services';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { Trans } from '../ui/words';
import { RpcError, SHARED } from './bridge';
import type { BridgeState, IBridge, IChanged, IRunEvent } from './bridge';
import { KernelRpc } from './rpc';
import { imagesIn } from './images';
import type { PanelRpc } from './protocol';
import { ServerRpc } from './server';

/** The Jupyter server, where it answers for projects as well. */
export interface IServed {
  readonly settings: ServerConnection.ISettings;
  /** The path of a notebook from the server's root folder. */
  pathOf(notebook: string): string;
  /** The folder that is meant where no notebook is open. */
  folder(): string;
  readonly contents: Contents.IManager;
}

const LOAD = '%load_ext letta_kernel';

export class Bridge implements IBridge {
  constructor(
    notebooks: INotebookTracker,
    trans: Trans,
    private readonly _served: IServed | null = null
  ) {
    this._trans = trans;
    notebooks.widgetAdded.connect((_, panel) => this._follow(panel));
    notebooks.currentChanged.connect((_, panel) => this._toFront(panel));
    notebooks.forEach(panel => this._follow(panel));
    this._toFront(notebooks.currentWidget);
  }

  get state(): BridgeState {
    return this._state;
  }

  get stateChanged(): ISignal<this, BridgeState> {
    return this._stateChanged;
  }

  get panel(): NotebookPanel | null {
    return this._panel;
  }

  get notebookChanged(): ISignal<this, NotebookPanel | null> {
    return this._notebookChanged;
  }

  get answeredBy(): 'kernel' | 'server' | null {
    return this._front === null ? null : this._front === this._rpc ? 'kernel' : 'server';
  }

  get folder(): string {
    const { _panel: panel, _served: served } = this;
    if (!panel || panel.isDisposed) {
      return served?.folder() ?? '';
    }
    return this.folderOf(panel.context.path);
  }

  /** The folder of a notebook, from the server's root folder. */
  folderOf(notebook: string): string {
    return PathExt.dirname(this._served?.pathOf(notebook) ?? notebook);
  }

  get project(): string {
    return this._front?.project ?? '';
  }

  get version(): string {
    return this._front?.version ?? '';
  }

  /** What runs do in any open notebook of the project in front. */
  get events(): ISignal<this, IRunEvent> {
    return this._events;
  }

  get changed(): ISignal<this, IChanged> {
    return this._changed;
  }

  /** The connections of all open notebooks that can be asked. */
  get rpcs(): readonly KernelRpc[] {
    return [...this._rpcs.values()].filter(rpc => rpc.state === 'ready');
  }

  /** The Jupyter server's connections that can be asked. */
  get servers(): readonly ServerRpc[] {
    return [...this._servers.values()].filter(rpc => rpc.state === 'ready');
  }

  /** Who has time for what goes on in a project; null: nobody can be asked. */
  free(home: string): PanelRpc | null {
    const near = this.allRpcs.filter(rpc => rpc.home === home);
    return this._front?.home === home ? this._free : (near[0] ?? null);
  }

  /** Those, then those of the Jupyter server. */
  get allRpcs(): readonly PanelRpc[] {
    return [...this.rpcs, ...this.servers];
  }

  /** Some connection has opened, or cannot be asked any more. */
  get rpcsChanged(): ISignal<this, void> {
    return this._rpcsChanged;
  }

  /** Some connection has something to tell: of any open notebook, of any project. */
  get anyChanged(): ISignal<this, PanelRpc> {
    return this._anyChanged;
  }

  async request<T>(method: string, params: object = {}): Promise<T> {
    const front = this._front;
    if (!front) {
      throw new RpcError('NotConnected', this._trans.__('No notebook with agents is in front.'));
    }
    const near = this.allRpcs.filter(rpc => rpc.home === front.home);
    const { agent } = params as { agent?: string };
    const own = agent !== undefined && !agent.startsWith(SHARED);
    if ((method === 'approve' || method === 'pending') && own) {
      // A cell that waits for the word runs in one kernel; only there it can be let go on.
      const asking = near.find(rpc => rpc.asking.includes(agent));
      const other = method === 'approve' ? this._free : front; // what is approved goes on there
      return (asking ?? other ?? front).request<T>(method, params);
    }
    const result = await front.request<T>(method, params);
    if (method === 'cancel' && (result as unknown) === false) {
      for (const rpc of near) {
        if (rpc !== front && (await rpc.request<unknown>(method, params)) === true) {
          return true as T;
        }
      }
    }
    return result;
  }

  async talk(
    agent: string,
    text: string,
    conversation: string | null,
    images: readonly string[]
  ): Promise<void> {
    const params = { agent, text, images, ...(conversation === null ? {} : { conversation }) };
    const { _front: front, _rpc: rpc, _server: server } = this;
    if (agent.startsWith(SHARED) && front) {
      await front.talk(params); // nothing of a notebook goes along, and it waits for no cell
      return;
    }
    if (rpc && server) {
      await rpc.settled();
      if (rpc.state !== 'ready' || rpc.busy) {
        await server.opened(); // what the kernel is asked now waits until its cells have ended
      }
    }
    const free = this._free;
    if (!(free instanceof ServerRpc) || !this._served) {
      await this.request('talk', params);
      return;
    }
    const named = await imagesIn(text, this._served.contents, this.folder);
    await free.talk({ ...params, images: [...images, ...named] });
  }

  look(): void {
    this._looking = true;
    this._look();
  }

  async insertLoadExt(): Promise<void> {
    const panel = this._panel;
    if (!panel) {
      return;
    }
    const { content, sessionContext } = panel;
    if (content.model?.sharedModel.cells[0]?.source.trim() !== LOAD) {
      content.model?.sharedModel.insertCell(0, { cell_type: 'code', source: LOAD });
    }
    content.deselectAll();
    content.activeCellIndex = 0;
    await NotebookActions.run(content, sessionContext);
  }

  /** See once more who answers: another folder is shown. */
  refresh(): void {
    this._look();
  }

  private _follow(panel: NotebookPanel): void {
    const { sessionContext } = panel;
    let own: Kernel.IKernelConnection | null = null;
    const use = (kernel: Kernel.IKernelConnection | null) => {
      if (own && own !== kernel) {
        this._drop(own);
      }
      own = kernel;
      if (kernel && !kernel.isDisposed) {
        this._meet(kernel);
      }
      this._look();
    };
    sessionContext.kernelChanged.connect((_, { newValue }) => use(newValue));
    sessionContext.statusChanged.connect(() => panel === this._panel && this._look());
    panel.disposed.connect(() => use(null));
    use(sessionContext.session?.kernel ?? null);
  }

  private _meet(kernel: Kernel.IKernelConnection): void {
    if (this._rpcs.has(kernel)) {
      return;
    }
    const rpc = new KernelRpc(kernel, this._trans);
    this._rpcs.set(kernel, rpc);
    rpc.stateChanged.connect(() => {
      this._look();
      this._rpcsChanged.emit();
    });
    this._hear(rpc);
  }

  /** Pass on what a connection tells of the project in front. */
  private _hear(rpc: PanelRpc): void {
    const served = rpc instanceof ServerRpc;
    rpc.askingChanged.connect(() => this._anyChanged.emit(rpc));
    rpc.events.connect((_, event) => {
      if (rpc.home === this._front?.home) {
        this._events.emit(served ? { ...event, served } : event);
      }
      if (TELLING.has(event.event.type)) {
        this._anyChanged.emit(rpc);
      }
    });
    rpc.changed.connect((_, change) => {
      if (rpc === this._front) {
        this._changed.emit(change);
      }
      if (change.what.includes('runs') || change.what.includes('agents')) {
        this._anyChanged.emit(rpc);
      }
    });
  }

  private _drop(kernel: Kernel.IKernelConnection): void {
    this._rpcs.get(kernel)?.dispose();
    if (this._rpcs.delete(kernel)) {
      this._rpcsChanged.emit();
    }
  }

  private _toFront(panel: NotebookPanel | null): void {
    if (panel === this._panel) {
      return;
    }
    this._panel = panel;
    this._look();
    this._notebookChanged.emit(panel);
  }

  /** See how the kernel of the notebook in front stands. */
  private _look(): void {
    const context = this._panel?.isDisposed ? undefined : this._panel?.sessionContext;
    const kernel = context?.session?.kernel;
    const rpc = (kernel && this._rpcs.get(kernel)) ?? null;
    const other = rpc !== this._rpc;
    this._rpc = rpc;
    let state: BridgeState = rpc?.state ?? 'none';
    if (!rpc && context && STARTING.has(context.kernelDisplayStatus)) {
      state = 'connecting';
    }
    const server = this._serverOf(rpc);
    const front = rpc?.state === 'ready' ? rpc : server?.state === 'ready' ? server : null;
    const moved = front !== this._front;
    this._front = front;
    this._server = server;
    this._servers.forEach(one => one.watch(one === front));
    if (state !== this._state || moved || (other && state === 'ready')) {
      this._state = state;
      this._stateChanged.emit(state);
    }
  }

  /** The server's connection for the project of a notebook, of that kernel; null: there is none, or it is another's. */
  private _serverOf(rpc: KernelRpc | null): ServerRpc | null {
    const { _served: served, _panel: panel } = this;
    // An older kernel could not read a project that the server has brought up to date.
    if (!served || !this._looking || rpc?.state === 'old') {
      return null;
    }
    const notebook = panel && !panel.isDisposed ? panel.context.path : null;
    if (notebook !== null && rpc?.state === 'ready') {
      this._homes.set(notebook, rpc.home);
    }
    const { folder } = this;
    let server = this._servers.get(folder);
    if (!server) {
      server = new ServerRpc(served.settings, folder, this._trans);
      this._servers.set(folder, server);
      server.stateChanged.connect(() => {
        this._look();
        this._rpcsChanged.emit();
      });
      this._hear(server);
    }
    const home = notebook === null ? undefined : this._homes.get(notebook);
    return home === undefined || server.home === '' || home === server.home ? server : null;
  }

  /** Who has time for a run now; else the kernel in front, which does it in its turn. */
  private get _free(): PanelRpc | null {
    const { _rpc: rpc, _server: server } = this;
    const busy = rpc?.state !== 'ready' || rpc.busy;
    return busy && server?.state === 'ready' ? server : this._front;
  }

  private readonly _trans: Trans;
  private _panel: NotebookPanel | null = null;
  private _rpc: KernelRpc | null = null; // of the kernel in front
  private _server: ServerRpc | null = null; // of its project
  private _front: PanelRpc | null = null; // who is asked
  private _looking = false;
  private _servers = new Map<string, ServerRpc>(); // by their folders
  private _homes = new Map<string, string>(); // the projects that kernels of notebooks had
  private _state: BridgeState = 'none';
  private _rpcs = new Map<Kernel.IKernelConnection, KernelRpc>();
  private _stateChanged = new Signal<this, BridgeState>(this);
  private _notebookChanged = new Signal<this, NotebookPanel | null>(this);
  private _events = new Signal<this, IRunEvent>(this);
  private _changed = new Signal<this, IChanged>(this);
  private _rpcsChanged = new Signal<this, void>(this);
  private _anyChanged = new Signal<this, PanelRpc>(this);
}

/** How a session stands before it has a kernel. */
const STARTING = new Set(['initializing', 'connecting', 'starting']);

/** Events after which agents stand otherwise, or money was spent. */
const TELLING = new Set(['run_started', 'approval_requested', 'run_ended']);
