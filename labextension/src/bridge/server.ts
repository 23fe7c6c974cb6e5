// The Jupyter server's connection for the project of a folder: it answers where no kernel is free.

import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import type { ServerConnection } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';

import type { Trans } from '../ui/words';
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
    this.again();
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
      this.ended('Lost', this.trans.__('The Jupyter server was restarted meanwhile.'));
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

  private _socket: WebSocket | null = null;
  private _timer: number | undefined;
  private _pause = PAUSE;
  private _watches = false;
  private _process = ''; // the server's, which has its runs
}
