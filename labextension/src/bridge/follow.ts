// The bridge: follows the notebook in front, and keeps a desk for the kernel of every open notebook.

import { NotebookActions, type INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { Trans } from '../ui/words';
import { DeskError } from './bridge';
import type { BridgeState, IBridge, IChanged, IDeskEvent } from './bridge';
import { Desk } from './desk';

const LOAD = '%load_ext letta_kernel';

export class Bridge implements IBridge {
  constructor(notebooks: INotebookTracker, trans: Trans) {
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

  get project(): string {
    return this._state === 'ready' ? (this._desk?.project ?? '') : '';
  }

  get version(): string {
    return this._state === 'ready' ? (this._desk?.version ?? '') : '';
  }

  /** What runs do in any open notebook of the project in front. */
  get events(): ISignal<this, IDeskEvent> {
    return this._events;
  }

  get changed(): ISignal<this, IChanged> {
    return this._changed;
  }

  /** The desks of all open notebooks that can be asked. */
  get desks(): readonly Desk[] {
    return [...this._desks.values()].filter(desk => desk.state === 'ready');
  }

  /** Some desk has opened, or cannot be asked any more. */
  get desksChanged(): ISignal<this, void> {
    return this._desksChanged;
  }

  /** Some desk has something to tell: of any open notebook, of any project. */
  get anyChanged(): ISignal<this, Desk> {
    return this._anyChanged;
  }

  async request<T>(method: string, params: object = {}): Promise<T> {
    const front = this._desk;
    if (!front || front.state !== 'ready') {
      throw new DeskError('NotConnected', this._trans.__('No notebook with agents is in front.'));
    }
    const near = this.desks.filter(desk => desk.home === front.home);
    const { agent } = params as { agent?: string };
    if ((method === 'approve' || method === 'pending') && agent !== undefined) {
      // A cell that waits for the word runs in one kernel; only there it can be let go on.
      return (near.find(desk => desk.asking.includes(agent)) ?? front).request<T>(method, params);
    }
    const result = await front.request<T>(method, params);
    if (method === 'cancel' && (result as unknown) === false) {
      for (const desk of near) {
        if (desk !== front && (await desk.request<unknown>(method, params)) === true) {
          return true as T;
        }
      }
    }
    return result;
  }

  async talk(agent: string, text: string): Promise<void> {
    await this.request('talk', { agent, text });
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
    if (this._desks.has(kernel)) {
      return;
    }
    const desk = new Desk(kernel, this._trans);
    this._desks.set(kernel, desk);
    desk.stateChanged.connect(() => {
      this._look();
      this._desksChanged.emit();
    });
    desk.askingChanged.connect(() => this._anyChanged.emit(desk));
    desk.events.connect((_, event) => {
      if (this._state === 'ready' && desk.home === this._desk?.home) {
        this._events.emit(event);
      }
      if (TELLING.has(event.event.type)) {
        this._anyChanged.emit(desk);
      }
    });
    desk.changed.connect((_, change) => {
      if (desk === this._desk) {
        this._changed.emit(change);
      }
      if (change.what.includes('runs') || change.what.includes('agents')) {
        this._anyChanged.emit(desk);
      }
    });
  }

  private _drop(kernel: Kernel.IKernelConnection): void {
    this._desks.get(kernel)?.dispose();
    if (this._desks.delete(kernel)) {
      this._desksChanged.emit();
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
    const desk = (kernel && this._desks.get(kernel)) ?? null;
    const other = desk !== this._desk;
    this._desk = desk;
    let state: BridgeState = desk?.state ?? 'none';
    if (!desk && context && STARTING.has(context.kernelDisplayStatus)) {
      state = 'connecting';
    }
    if (state !== this._state || (other && state === 'ready')) {
      this._state = state;
      this._stateChanged.emit(state);
    }
  }

  private readonly _trans: Trans;
  private _panel: NotebookPanel | null = null;
  private _desk: Desk | null = null;
  private _state: BridgeState = 'none';
  private _desks = new Map<Kernel.IKernelConnection, Desk>();
  private _stateChanged = new Signal<this, BridgeState>(this);
  private _notebookChanged = new Signal<this, NotebookPanel | null>(this);
  private _events = new Signal<this, IDeskEvent>(this);
  private _changed = new Signal<this, IChanged>(this);
  private _desksChanged = new Signal<this, void>(this);
  private _anyChanged = new Signal<this, Desk>(this);
}

/** How a session stands before it has a kernel. */
const STARTING = new Set(['initializing', 'connecting', 'starting']);

/** Events after which agents stand otherwise, or money was spent. */
const TELLING = new Set(['run_started', 'approval_requested', 'run_ended']);
