// The Jupyter server's connection for the project of a folder: it answers where no kernel is free.

import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import type { ServerConnection } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';

import type { Trans } from '../ui/words';
import { RpcError } from './bridge';
import { PanelRpc, type IHello } from './protocol';

/** How long to wait until the connection is tried again, in milliseconds: at first, and at most. */
const PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;

/** Whether the server that gave us this page has such connections. */
export function isServed(): boolean {
  return PageConfig.getOption('lettaKernelServed') === 'true';
}

export class ServerRpc extends PanelRpc {
  /**
   * @param folder - The folder of the project's notebooks, from the server's root folder.
   */
  constructor(
    readonly settings: ServerConnection.ISettings,
    readonly folder: string,
    trans: Trans
  ) {
    super(trans);
    this.events.connect((_, { run_id, agent_id, event }) => this._hear(run_id, agent_id, event.type));
    this.again();
  }

  /** Say something to an agent; resolves when the run has ended, or waits for somebody's word. */
  async talk(params: {
    agent: string;
    text: string;
    conversation?: string;
    images?: string[];
  }): Promise<void> {
    const thread = `${params.agent}/${params.conversation ?? ''}`;
    const before = this._talks.get(thread) ?? Promise.resolve();
    const talk = before.then(() => this._talk(params));
    this._talks.set(
      thread,
      talk.catch(() => undefined)
    );
    await talk;
  }

  /** Say whether changes in the project are to be told, by whomever they are made. */
  watch(on: boolean): void {
    this._watches = on;
    if (this.state === 'ready') {
      this.send({ type: 'watch', on });
    }
  }

  protected again(): void {
    const { settings } = this;
    const query = { folder: this.folder, ...(settings.token ? { token: settings.token } : {}) };
    const url =
      URLExt.join(settings.wsUrl, 'letta/panel') + URLExt.objectToQueryString(query);
    this.close();
    this.setState('connecting');
    const socket = new settings.WebSocket(url);
    this._socket = socket;
    socket.onmessage = ({ data }) => {
      if (socket === this._socket) {
        this.take(JSON.parse(data as string) as JSONObject);
      }
    };
    socket.onclose = () => {
      if (socket === this._socket) {
        this._socket = null;
        this.fail(this.gone);
        this.setState('lost');
        this._timer = window.setTimeout(() => this.again(), this._pause);
        this._pause = Math.min(2 * this._pause, LONGEST_PAUSE);
      }
    };
  }

  protected override welcomed(hello: IHello & { process?: string }): void {
    this._pause = PAUSE;
    const process = hello.process ?? '';
    if (this._process && process !== this._process) {
      this._ended('Lost', this.trans.__('The Jupyter server was restarted meanwhile.'));
    }
    this._process = process;
    super.welcomed(hello);
    this.catchUp();
    if (this._watches) {
      this.watch(true);
    }
  }

  protected close(): void {
    window.clearTimeout(this._timer);
    const socket = this._socket;
    this._socket = null;
    socket?.close();
  }

  protected send(data: JSONObject): void {
    this._socket?.send(JSON.stringify(data));
  }

  protected get reachable(): boolean {
    return this._socket?.readyState === WebSocket.OPEN;
  }

  protected get gone(): string {
    return this.trans.__('The connection to the Jupyter server is lost.');
  }

  protected get unconnected(): string {
    return this.trans.__('The Jupyter server is not connected.');
  }

  private async _talk(params: object): Promise<void> {
    const { run } = await this.request<{ run: string }>('talk', params);
    if (this._over.includes(run)) {
      return;
    }
    await new Promise<void>((resolve, reject) => this._waiting.set(run, { resolve, reject }));
  }

  private _hear(run: string, agent: string, type: string): void {
    if (type !== 'run_ended') {
      this._going.set(run, agent);
      return;
    }
    this._going.delete(run);
    this._over = [run, ...this._over].slice(0, REMEMBERED);
    this._waiting.get(run)?.resolve();
    this._waiting.delete(run);
  }

  /** The runs that went on are no more. */
  private _ended(kind: string, text: string): void {
    for (const { reject } of this._waiting.values()) {
      reject(new RpcError(kind, text));
    }
    this._waiting.clear();
    const event = { type: 'run_ended', stop_reason: 'error', error: text, steps: 0 };
    for (const [run_id, agent_id] of [...this._going]) {
      this.happened({ run_id, agent_id, event });
    }
  }

  private _socket: WebSocket | null = null;
  private _timer: number | undefined;
  private _pause = PAUSE;
  private _watches = false;
  private _process = ''; // the server's, which has its runs
  private _talks = new Map<string, Promise<void>>(); // the last one of each thread
  private _going = new Map<string, string>();
  private _over: string[] = [];
  private _waiting = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();
}

/** Runs that have ended and are remembered, in case their talk hears of it late. */
const REMEMBERED = 100;
