// A kernel connection as far as a connection needs one, whose other end the tests play.

import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { JSONObject, JSONValue } from '@lumino/coreutils';
import { PromiseDelegate } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';

interface ISent {
  type: string;
  subshell: string | null;
  content: JSONObject;
}

export interface IPlayed {
  name?: string;
  implementation?: string;
  /** Is there a sign that letta-kernel is loaded? */
  sign?: boolean;
  subshells?: boolean;
  /** Is it in the middle of a cell, so that it does not say what it is? */
  silent?: boolean;
}

export class PlayedKernel {
  constructor(readonly played: IPlayed = {}) {
    this.name = played.name ?? 'letta';
    const implementation = played.implementation ?? 'letta-kernel';
    const language = { name: this.name === 'ir' ? 'R' : 'python' };
    const info = { implementation, language_info: language };
    this.info = played.silent ? new Promise(() => undefined) : Promise.resolve(info);
    this.spec = Promise.resolve({ language: language.name });
  }

  readonly name: string;
  readonly info: Promise<unknown>;
  readonly spec: Promise<unknown>;
  readonly username = '';
  readonly clientId = 'client';
  status: Kernel.Status = 'idle';
  connectionStatus: Kernel.ConnectionStatus = 'connected';
  isDisposed = false;
  readonly statusChanged = new Signal<this, Kernel.Status>(this);
  readonly connectionStatusChanged = new Signal<this, Kernel.ConnectionStatus>(this);
  readonly iopubMessage = new Signal<this, KernelMessage.IIOPubMessage>(this);
  readonly anyMessage = new Signal<this, Kernel.IAnyMessageArgs>(this);
  readonly disposed = new Signal<this, void>(this);
  readonly handleComms = true;
  /** The comms that the page knows. */
  readonly comms = new Set<string>();
  /** What was sent on the shell channel. */
  readonly sent: ISent[] = [];
  readonly executed: string[] = [];
  /** The subshells that were given back. */
  readonly deleted: string[] = [];
  /** How executions end, one by one; `ok` after that. */
  readonly endings: string[] = [];

  as(): Kernel.IKernelConnection {
    return this as unknown as Kernel.IKernelConnection;
  }

  sendControlMessage(): unknown {
    const made = new PromiseDelegate<unknown>();
    if (this.played.subshells !== false) {
      made.resolve({ content: { status: 'ok', subshell_id: 'shell-1' } });
    }
    return { done: made.promise, dispose: () => made.reject(new Error('Canceled')) };
  }

  get supportsSubshells(): boolean {
    return this.played.subshells !== false;
  }

  requestDeleteSubshell({ subshell_id }: { subshell_id: string }): unknown {
    this.deleted.push(subshell_id);
    return { done: Promise.resolve() };
  }

  sendShellMessage(message: KernelMessage.IShellMessage): unknown {
    const { msg_type, subshell_id } = message.header as { msg_type: string; subshell_id?: string };
    const content = message.content as JSONObject;
    if (msg_type === 'comm_info_request') {
      const sign = this.played.sign ?? this.name === 'letta';
      const comms = sign ? { 'letta-kernel.desk.sign': {} } : {};
      return { done: Promise.resolve({ content: { status: 'ok', comms } }) };
    }
    this.sent.push({ type: msg_type, subshell: subshell_id ?? null, content });
    return { dispose: () => undefined };
  }

  requestExecute({ code }: { code: string }): unknown {
    this.executed.push(code);
    const status = this.endings.shift() ?? 'ok';
    return { done: Promise.resolve({ content: { status } }) };
  }

  hasComm(id: string): boolean {
    return this.comms.has(id);
  }

  createComm(_: string, id: string): void {
    this.comms.add(id);
  }

  /** The kernel closes a comm; tells whether the page knew it when JupyterLab came to handle that. */
  closes(id: string): boolean {
    const msg = { channel: 'iopub', header: { msg_type: 'comm_close' }, content: { comm_id: id } };
    this.anyMessage.emit({ msg, direction: 'recv' } as never);
    return this.comms.delete(id);
  }

  /** The comm that was opened last. */
  get comm(): string {
    const opened = this.sent.filter(({ type }) => type === 'comm_open');
    return opened[opened.length - 1].content.comm_id as string;
  }

  /** The last request that was sent. */
  get asked(): JSONObject {
    const requests = this.sent.filter(({ content }) => 'type' in ((content.data ?? {}) as object));
    return requests[requests.length - 1].content.data as JSONObject;
  }

  say(data: JSONObject): void {
    this._iopub('comm_msg', { comm_id: this.comm, data });
  }

  /** A run has done something: events after one number up to another. */
  happen(run_id: string, after: number, until: number, ...types: string[]): void {
    const events = types.map(type => ({ type }));
    this.say({ type: 'events', agent_id: 'a', run_id, after, until, events });
  }

  hello(more: JSONObject = {}): void {
    const said = { type: 'hello', protocol: 1, version: '0.1.0', project: 'work', home: '/w' };
    this.say({ ...said, asking: [], ...more });
  }

  answer(result: JSONValue): void {
    this.say({ type: 'reply', id: this.asked.id as number, result });
  }

  refuse(kind: string, message: string): void {
    this.say({ type: 'reply', id: this.asked.id as number, error: { kind, message } });
  }

  ranCell(code: string): void {
    this._iopub('execute_input', { code, execution_count: 1 });
    this.become('idle');
  }

  become(status: Kernel.Status): void {
    this.status = status;
    this.statusChanged.emit(status);
  }

  connection(status: Kernel.ConnectionStatus): void {
    this.connectionStatus = status;
    this.connectionStatusChanged.emit(status);
  }

  private _iopub(type: string, content: JSONObject): void {
    const header = { msg_type: type };
    this.iopubMessage.emit({ channel: 'iopub', header, content } as never);
  }
}

/** Let everything that waits for promises go on. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await Promise.resolve();
  }
}
