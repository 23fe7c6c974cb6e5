// What panels and cells know of the kernel behind the notebook in front, and how they ask it.

import type { NotebookPanel } from '@jupyterlab/notebook';
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

/**
 * How the kernel of the notebook in front stands.
 *
 * none: no notebook, or one without a kernel. connecting: it starts, restarts or has not answered yet.
 * ready: requests are answered. plain-python: a Python kernel without letta-kernel, which
 * `insertLoadExt` adds. old: its letta-kernel is of a version without a connection. lost: it died or the
 * connection to it is gone.
 */
export type BridgeState = 'none' | 'connecting' | 'ready' | 'plain-python' | 'old' | 'lost';

/** What the id of somebody else's agent begins with; the rest is what it is called: OWNER/NAME. */
export const SHARED = 'shared:';

/** Something a run did (`event` is one of letta_kernel.messages, in JSON). */
export interface IRunEvent {
  readonly agent_id: string;
  readonly run_id: string;
  /** Whether the run goes on in the Jupyter server, not in a kernel. */
  readonly served?: boolean;
  readonly event: { readonly type: string; readonly [field: string]: unknown };
}

/** Something in the project has changed, by whatever process. */
export interface IChanged {
  readonly what: readonly string[];
  /** The agents it is about; null: it may be any. */
  readonly agents: readonly string[] | null;
}

/** The kernel refused a request: `kind` names its error, the message is one line for people. */
export class RpcError extends Error {
  constructor(
    readonly kind: string,
    message: string
  ) {
    super(message);
    this.name = 'RpcError';
  }
}

/** The kernel of the notebook in front, as the rest of the extension sees it. */
export interface IBridge {
  readonly state: BridgeState;
  /**
   * Who answers requests: the kernel in front; where it is not ready, or none is, the Jupyter server for the
   * same project; or nobody.
   */
  readonly answeredBy: 'kernel' | 'server' | null;
  /** The kernel or who answers has changed. */
  readonly stateChanged: ISignal<IBridge, BridgeState>;
  /** The notebook in front, or the one that was last. */
  readonly panel: NotebookPanel | null;
  /** The folder of that notebook, else the one that is shown, from the server's root folder. */
  readonly folder: string;
  /** The name of the project's folder; empty while nothing is connected. */
  readonly project: string;
  /** The version of letta-kernel in the kernel; empty while nothing is connected. */
  readonly version: string;
  /** Ask the kernel something; rejects with a `RpcError`. */
  request<T>(method: string, params?: object): Promise<T>;
  readonly events: ISignal<IBridge, IRunEvent>;
  readonly changed: ISignal<IBridge, IChanged>;
  /** Another notebook came to the front, or none is left. */
  readonly notebookChanged: ISignal<IBridge, NotebookPanel | null>;
  /**
   * Send a message to an agent without a cell; resolves when the run has ended.
   *
   * It runs in the kernel, so that the notebook's functions and the stop button work as in a cell; in the
   * Jupyter server while the kernel is busy, gone or of another kind. What happens comes as `events`.
   */
  talk(
    agent: string,
    text: string,
    conversation: string | null,
    images: readonly string[]
  ): Promise<void>;
  /** Somebody looks at agents: from now on the Jupyter server answers too. */
  look(): void;
  /** Insert a cell with `%load_ext letta_kernel` at the top of the notebook in front and run it. */
  insertLoadExt(): Promise<void>;
}

export const IBridge = new Token<IBridge>(
  'letta-kernel:bridge',
  'The kernel of the notebook in front, its agents and what they do.'
);
