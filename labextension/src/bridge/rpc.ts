// One kernel's connection: opens it, asks, and hears what happens there.

import { type Kernel, KernelMessage } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';
import { UUID } from '@lumino/coreutils';

import type { Trans } from '../ui/words';
import { RpcError, type BridgeState } from './bridge';
import { Busy } from './busy';
import { hasSign, makeSubshell, sendComm, TARGET, within } from './comm';
import { PanelRpc, TIMEOUT, type IHello } from './protocol';
import { OrphanComms } from './orphancomms';


const IMPLEMENTATION = 'letta-kernel';
/** The name the kernel is installed under: such a kernel need not be asked what it is. */
const SPEC = 'letta';

const OPENINGS = 3;
const ABORTED = 5;

interface ITicket {
  execute: string;
  ticket: string;
}

/** The connection of one kernel connection; it opens by itself, and again after restarts. */
export class KernelRpc extends PanelRpc {
  constructor(
    readonly kernel: Kernel.IKernelConnection,
    trans: Trans
  ) {
    super(trans);
    this._orphans = new OrphanComms(kernel);
    this._busy = new Busy(kernel);
    kernel.statusChanged.connect(this._onStatus, this);
    kernel.connectionStatusChanged.connect(this._onConnection, this);
    kernel.iopubMessage.connect(this._onMessage, this);
    kernel.disposed.connect(this.dispose, this);
    this.again();
  }

  /** Whether its main thread has something to do: what is put there has to wait. */
  get busy(): boolean {
    return this._busy.now;
  }

  /** Resolves when it is free, or when that may take long. */
  settled(): Promise<void> {
    return this._busy.settled();
  }

  /** Ask; what has to run on the kernel's main thread is put there, in its turn among the cells. */
  override async request<T>(method: string, params: object = {}): Promise<T> {
    const result = await this.ask(method, params);
    if (!isTicket(result)) {
      return result as T;
    }
    await this._execute(result.execute);
    return (await this.ask('job', { ticket: result.ticket })) as T;
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
        throw new RpcError('Lost', this.trans.__('The kernel was restarted meanwhile.'));
      }
      if (status !== 'aborted') {
        return; // what came of it is asked for
      }
      // A cell before it has failed, and the kernel dropped all that waited.
    }
  }

  // -- opening -----------------------------------------------------------------------------------

  /** Find out what kernel this is and open the connection, if it has one. */
  protected again(): void {
    const turn = ++this._turn;
    this.close();
    this.fail(this.trans.__('The kernel was restarted meanwhile.'));
    this.setState('connecting');
    this._watch(turn);
    this._open(turn).catch(() => {
      if (turn === this._turn && !this.isDisposed) {
        this.setState('lost'); // the connection went; when it is back, this begins anew
      }
    });
  }

  /** Begin anew if nothing comes of it: what is sent to a kernel that is just being restarted may be lost. */
  private _watch(turn: number): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => {
      if (turn !== this._turn || this.isDisposed || this.state !== 'connecting') {
        return;
      }
      if (this.reachable && this.kernel.status === 'idle') {
        this.again();
      } else {
        this._watch(turn);
      }
    }, TIMEOUT.open);
  }

  private async _open(turn: number): Promise<void> {
    const over = () => turn !== this._turn || this.isDisposed;
    const { kernel } = this;
    let ours = kernel.name === SPEC;
    let subshells = true;
    if (!ours) {
      // Of a kernel in the middle of a cell only its kernelspec is known.
      const info = await within(TIMEOUT.info, kernel.info);
      const language = info ? info.language_info.name : (await kernel.spec)?.language;
      if (over()) {
        return;
      }
      ours = info?.implementation === IMPLEMENTATION;
      subshells = !info || kernel.supportsSubshells;
      if (!ours && language?.toLowerCase() !== 'python') {
        this.setState('none');
        return;
      }
    }
    // A subshell, as cells may run or wait, and one of them may be waiting for a word given here.
    const subshell = subshells ? await makeSubshell(kernel, TIMEOUT.subshell) : null;
    if (over()) {
      return;
    }
    this._subshell = subshell;
    // A kernel without a connection would log an error for being asked to open one, so we look for the sign.
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
    this.setState(ours ? 'old' : 'plain-python');
  }

  private _knock(turn: number, count: number): void {
    window.clearTimeout(this._timer);
    this._comm = UUID.uuid4();
    this._sendComm('comm_open', { target_name: TARGET, data: {} });
    this._timer = window.setTimeout(() => {
      if (turn !== this._turn || this.state !== 'connecting') {
        return;
      }
      // A kernel without subshells answers when its cell has ended, and may take its time.
      if (this._subshell === null && this.kernel.status === 'busy') {
        this._knock(turn, count);
      } else if (count < OPENINGS) {
        this._knock(turn, count + 1);
      } else {
        this.setState('lost');
      }
    }, TIMEOUT.hello);
  }

  protected close(): void {
    window.clearTimeout(this._timer);
    const reachable = this._comm && !this.kernel.isDisposed && this.kernel.status !== 'dead';
    if (reachable && this.kernel.connectionStatus === 'connected') {
      try {
        this._sendComm('comm_close', { data: {} });
      } catch {
        // the kernel forgets connections that say nothing
      }
    }
    this._comm = '';
    this._subshell = null;
    this.setAsking([]);
  }

  private _sendComm(type: 'comm_open' | 'comm_msg' | 'comm_close', content: JSONObject): void {
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
      this.fail(this.trans.__('The kernel was restarted meanwhile.'));
      this.giveUp('Lost', this.trans.__('The kernel was restarted meanwhile.'));
      this.setAsking([]);
      this.setState('connecting');
    } else if (status === 'dead') {
      this._turn++;
      this._comm = '';
      this.fail(this.trans.__('The kernel is gone.'));
      this.giveUp('Lost', this.trans.__('The kernel is gone.'));
      this.setAsking([]);
      this.setState('lost');
    } else if (this._restarting && (status === 'idle' || status === 'busy')) {
      this._restarting = false;
      this.again();
    } else if (this.state === 'plain-python' && this._mayHaveLoaded && status === 'idle') {
      this._mayHaveLoaded = false;
      this.again();
    }
  }

  private _onConnection(_: Kernel.IKernelConnection, status: Kernel.ConnectionStatus): void {
    if (status === 'disconnected') {
      this._turn++;
      this.fail(this.trans.__('The connection to the kernel is lost.'));
      this.setState('lost');
    } else if (status === 'connecting') {
      this._cut = true;
    } else if (this._cut) {
      this._cut = false;
      if (!this._restarting) {
        this.again(); // what was said meanwhile is missed
      }
    }
  }

  private _onMessage(_: Kernel.IKernelConnection, message: KernelMessage.IIOPubMessage): void {
    if (KernelMessage.isExecuteInputMsg(message)) {
      this._mayHaveLoaded ||= message.content.code.includes('letta_kernel');
    } else if (KernelMessage.isCommMsgMsg(message)) {
      if (message.content.comm_id === this._comm) {
        this.take(message.content.data);
      }
    }
  }

  protected override welcomed(hello: IHello): void {
    window.clearTimeout(this._timer);
    this._orphans.ids = new Set(hello.views ?? []);
    super.welcomed(hello);
  }

  protected override setState(state: BridgeState): void {
    if (state === 'plain-python' || state === 'none') {
      this._orphans.ids = new Set();
    }
    super.setState(state);
  }

  protected get reachable(): boolean {
    return this.kernel.connectionStatus === 'connected';
  }

  protected get gone(): string {
    return this.trans.__('The kernel is gone.');
  }

  protected get unconnected(): string {
    return this.trans.__('The kernel is not connected.');
  }

  protected send(data: JSONObject): void {
    this._sendComm('comm_msg', { data });
  }

  private _turn = 0; // which attempt to open this is
  private _comm = '';
  private _subshell: string | null = null;
  private _restarting = false;
  private _cut = false; // the connection was
  private _mayHaveLoaded = false; // a cell spoke of letta_kernel
  private _timer: number | undefined;
  private readonly _orphans: OrphanComms;
  private readonly _busy: Busy;
}

function isTicket(result: unknown): result is ITicket {
  return typeof result === 'object' && result !== null && 'ticket' in result && 'execute' in result;
}
