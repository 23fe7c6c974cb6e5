// One kernel's desk: opens it, asks, and hears what happens there.

import { type Kernel, KernelMessage } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';
import { UUID } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { Followed, type IEvents } from '../ui/followed';
import type { Trans } from '../ui/words';
import { DeskError } from './bridge';
import type { BridgeState, IChanged, IDeskEvent } from './bridge';
import { hasSign, makeSubshell, sendComm, TARGET, within } from './line';
import { Requests } from './requests';
import { Strangers } from './strangers';

/** What the kernel's hello must say at least. */
const PROTOCOL = 1;
const IMPLEMENTATION = 'letta-kernel';
/** The name the kernel is installed under: such a kernel need not be asked what it is. */
const SPEC = 'letta';

/** How long to wait for things, in milliseconds. */
export const PATIENCE = { info: 2_000, subshell: 5_000, hello: 30_000, reply: 60_000, ping: 60_000 };
const OPENINGS = 3;
const ABORTED = 5;

/** Answers that take as long as what they run. */
const ENDLESS = new Set(['tool.run', 'context', 'agent.import', 'agent.export', 'passage.add']);

interface IHello {
  protocol?: number;
  version?: string;
  project?: string;
  home?: string;
  asking?: string[];
  /** Comms of views that are live now. */
  views?: string[];
}

/** Answers what a kernel asks of the page; what it rejects with is told to the kernel by name and message. */
export type Answerer = (method: string, params: JSONObject) => Promise<unknown>;

interface ITicket {
  execute: string;
  ticket: string;
}

/** The desk of one kernel connection; it opens by itself, and again after restarts. */
export class Desk implements IDisposable {
  constructor(
    readonly kernel: Kernel.IKernelConnection,
    trans: Trans
  ) {
    this._trans = trans;
    this._strangers = new Strangers(kernel);
    kernel.statusChanged.connect(this._onStatus, this);
    kernel.connectionStatusChanged.connect(this._onConnection, this);
    kernel.iopubMessage.connect(this._onMessage, this);
    kernel.disposed.connect(this.dispose, this);
    this._begin();
  }

  get state(): BridgeState {
    return this._state;
  }

  get stateChanged(): ISignal<this, BridgeState> {
    return this._stateChanged;
  }

  get events(): ISignal<this, IDeskEvent> {
    return this._events;
  }

  get changed(): ISignal<this, IChanged> {
    return this._changed;
  }

  /** The agents that cells of this kernel wait with for a word. */
  get asking(): readonly string[] {
    return this._asking;
  }

  get askingChanged(): ISignal<this, void> {
    return this._askingChanged;
  }

  get project(): string {
    return this._hello.project ?? '';
  }

  /** The project's folder, which tells projects of one name apart. */
  get home(): string {
    return this._hello.home ?? '';
  }

  get version(): string {
    return this._hello.version ?? '';
  }

  /** What answers the kernel's questions. */
  answerer: Answerer | null = null;

  /** Say something that is not answered; nothing while there is nobody to hear it. */
  tell(data: object): void {
    if (this._state === 'ready' && this.kernel.connectionStatus === 'connected') {
      this._send('comm_msg', { data: data as JSONObject });
    }
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._close();
    this._requests.fail(this._trans.__('The kernel is gone.'));
    Signal.clearData(this);
  }

  /** Ask; what has to run on the kernel's main thread is put there, in its turn among the cells. */
  async request<T>(method: string, params: object = {}): Promise<T> {
    const result = await this._ask(method, params);
    if (!isTicket(result)) {
      return result as T;
    }
    await this._execute(result.execute);
    return (await this._ask('job', { ticket: result.ticket })) as T;
  }

  private _ask(method: string, params: object): Promise<unknown> {
    const trans = this._trans;
    if (this._state !== 'ready') {
      return Promise.reject(new DeskError('NotConnected', trans.__('The kernel is not connected.')));
    }
    const send = (id: number) =>
      this._send('comm_msg', { data: { type: 'request', id, method, params } as JSONObject });
    const patience = ENDLESS.has(method) ? null : PATIENCE.reply;
    return this._requests.ask(send, patience, trans.__('The kernel did not answer in time.'));
  }

  private async _execute(code: string): Promise<void> {
    for (let attempt = 0; attempt < ABORTED; attempt++) {
      const future = this.kernel.requestExecute({
        code,
        silent: true,
        store_history: false,
        allow_stdin: false,
        stop_on_error: false
      });
      let status: string;
      try {
        status = (await future.done).content.status;
      } catch {
        throw new DeskError('Lost', this._trans.__('The kernel was restarted meanwhile.'));
      }
      if (status !== 'aborted') {
        return; // what came of it is asked for
      }
      // A cell before it has failed, and the kernel dropped all that waited.
    }
  }

  // -- opening -----------------------------------------------------------------------------------

  /** Find out what kernel this is and open the desk, if it has one. */
  private _begin(): void {
    const turn = ++this._turn;
    this._close();
    this._requests.fail(this._trans.__('The kernel was restarted meanwhile.'));
    this._setState('connecting');
    this._open(turn).catch(() => {
      if (turn === this._turn && !this._isDisposed) {
        this._setState('lost'); // the connection went; when it is back, this begins anew
      }
    });
  }

  private async _open(turn: number): Promise<void> {
    const over = () => turn !== this._turn || this._isDisposed;
    const { kernel } = this;
    let ours = kernel.name === SPEC;
    let subshells = true;
    if (!ours) {
      // Of a kernel in the middle of a cell only its kernelspec is known.
      const info = await within(PATIENCE.info, kernel.info);
      const language = info ? info.language_info.name : (await kernel.spec)?.language;
      if (over()) {
        return;
      }
      ours = info?.implementation === IMPLEMENTATION;
      subshells = !info || kernel.supportsSubshells;
      if (!ours && language?.toLowerCase() !== 'python') {
        this._setState('none');
        return;
      }
    }
    // A subshell, as cells may run or wait, and one of them may be waiting for a word given here.
    const subshell = subshells ? await makeSubshell(kernel, PATIENCE.subshell) : null;
    if (over()) {
      return;
    }
    this._subshell = subshell;
    // A kernel without a desk would log an error for being asked to open one, so we look for the sign.
    const sign = await hasSign(kernel, subshell);
    if (over()) {
      return;
    }
    if (sign) {
      this._knock(turn, 1);
      return;
    }
    this._subshell = null;
    if (subshell !== null) {
      const { done } = kernel.requestDeleteSubshell({ subshell_id: subshell }, true);
      done.catch(() => undefined); // it went with its kernel
    }
    this._setState(ours ? 'old' : 'plain-python');
  }

  private _knock(turn: number, count: number): void {
    this._comm = UUID.uuid4();
    this._send('comm_open', { target_name: TARGET, data: {} });
    this._timer = window.setTimeout(() => {
      if (turn !== this._turn || this._state !== 'connecting') {
        return;
      }
      // A kernel without subshells answers when its cell has ended, and may take its time.
      if (this._subshell === null && this.kernel.status === 'busy') {
        this._knock(turn, count);
      } else if (count < OPENINGS) {
        this._knock(turn, count + 1);
      } else {
        this._setState('lost');
      }
    }, PATIENCE.hello);
  }

  private _close(): void {
    window.clearTimeout(this._timer);
    window.clearInterval(this._pings);
    const reachable = this._comm && !this.kernel.isDisposed && this.kernel.status !== 'dead';
    if (reachable && this.kernel.connectionStatus === 'connected') {
      try {
        this._send('comm_close', { data: {} });
      } catch {
        // the kernel forgets desks that say nothing
      }
    }
    this._comm = '';
    this._subshell = null;
    this._setAsking([]);
  }

  private _send(type: 'comm_open' | 'comm_msg' | 'comm_close', content: JSONObject): void {
    sendComm(this.kernel, this._subshell, type, { comm_id: this._comm, ...content });
  }

  // -- hearing -----------------------------------------------------------------------------------

  private _onStatus(_: Kernel.IKernelConnection, status: Kernel.Status): void {
    if (status === 'restarting' || status === 'autorestarting') {
      this._restarting = true;
      this._turn++;
      this._comm = '';
      this._subshell = null;
      window.clearTimeout(this._timer);
      window.clearInterval(this._pings);
      this._requests.fail(this._trans.__('The kernel was restarted meanwhile.'));
      this._setAsking([]);
      this._setState('connecting');
    } else if (status === 'dead') {
      this._turn++;
      this._comm = '';
      this._requests.fail(this._trans.__('The kernel is gone.'));
      this._setAsking([]);
      this._setState('lost');
    } else if (this._restarting && (status === 'idle' || status === 'busy')) {
      this._restarting = false;
      this._begin();
    } else if (this._state === 'plain-python' && this._mayHaveLoaded && status === 'idle') {
      this._mayHaveLoaded = false;
      this._begin();
    }
  }

  private _onConnection(_: Kernel.IKernelConnection, status: Kernel.ConnectionStatus): void {
    if (status === 'disconnected') {
      this._turn++;
      this._requests.fail(this._trans.__('The connection to the kernel is lost.'));
      this._setState('lost');
    } else if (status === 'connecting') {
      this._cut = true;
    } else if (this._cut) {
      this._cut = false;
      if (!this._restarting) {
        this._begin(); // what was said meanwhile is missed
      }
    }
  }

  private _onMessage(_: Kernel.IKernelConnection, message: KernelMessage.IIOPubMessage): void {
    if (KernelMessage.isExecuteInputMsg(message)) {
      this._mayHaveLoaded ||= message.content.code.includes('letta_kernel');
    } else if (KernelMessage.isCommMsgMsg(message)) {
      if (message.content.comm_id === this._comm) {
        this._onData(message.content.data);
      }
    }
  }

  private _onData(data: JSONObject): void {
    switch (data.type) {
      case 'hello':
        this._onHello(data as IHello);
        break;
      case 'reply':
        this._requests.answer(data);
        break;
      case 'events':
        this._followed.take(data as unknown as IEvents);
        break;
      case 'changed':
        this._changed.emit(data as unknown as IChanged);
        break;
      case 'asking':
        this._setAsking(data.agents as string[]);
        break;
      case 'ask':
        void this._onAsk(data);
        break;
      case 'bye':
        this._comm = '';
        this._begin(); // it took us for gone
        break;
    }
  }

  private _onHello(hello: IHello): void {
    window.clearTimeout(this._timer);
    this._hello = hello;
    this._strangers.ids = new Set(hello.views ?? []);
    if ((hello.protocol ?? 0) < PROTOCOL) {
      this._setState('old');
      return;
    }
    window.clearInterval(this._pings);
    this._pings = window.setInterval(() => this._ping(), PATIENCE.ping);
    this._setAsking(hello.asking ?? []);
    this._setState('ready');
  }

  private async _onAsk({ id, method, params }: JSONObject): Promise<void> {
    try {
      if (!this.answerer) {
        throw new DeskError('Closed', this._trans.__('No notebook of this kernel is open here.'));
      }
      const result = await this.answerer(String(method), (params ?? {}) as JSONObject);
      this.tell({ type: 'answer', id, result: result ?? null });
    } catch (error) {
      const { kind, name, message } = error as Partial<DeskError>;
      const said = { name: kind ?? name ?? 'Error', message: message ?? String(error) };
      this.tell({ type: 'answer', id, error: said });
    }
  }

  /** Ask for what follows an event of a run, when something was missed. */
  private _askFor(run_id: string, after: number): void {
    this._send('comm_msg', { data: { type: 'follow', run_id, after } });
  }

  private _ping(): void {
    this.tell({ type: 'ping' });
  }

  private _setState(state: BridgeState): void {
    if (state !== 'ready') {
      window.clearInterval(this._pings);
    }
    if (state === 'plain-python' || state === 'none') {
      this._strangers.ids = new Set();
    }
    if (state !== this._state) {
      this._state = state;
      this._stateChanged.emit(state);
    }
  }

  private _setAsking(agents: readonly string[]): void {
    if (agents.length > 0 || this._asking.length > 0) {
      this._asking = agents;
      this._askingChanged.emit();
    }
  }

  private readonly _trans: Trans;
  private _state: BridgeState = 'connecting';
  private _hello: IHello = {};
  private _asking: readonly string[] = [];
  private _turn = 0; // which attempt to open this is
  private _comm = '';
  private _subshell: string | null = null;
  private _restarting = false;
  private _cut = false; // the connection was
  private _mayHaveLoaded = false; // a cell spoke of letta_kernel
  private _timer: number | undefined;
  private _pings: number | undefined;
  private readonly _requests = new Requests();
  private readonly _strangers: Strangers;
  private readonly _followed = new Followed(
    (runId, after) => this._askFor(runId, after),
    ({ run_id, agent_id, events }) =>
      events.forEach(event => this._events.emit({ run_id, agent_id, event }))
  );
  private _isDisposed = false;
  private _stateChanged = new Signal<this, BridgeState>(this);
  private _events = new Signal<this, IDeskEvent>(this);
  private _changed = new Signal<this, IChanged>(this);
  private _askingChanged = new Signal<this, void>(this);
}

function isTicket(result: unknown): result is ITicket {
  return typeof result === 'object' && result !== null && 'ticket' in result && 'execute' in result;
}
