// Whether a kernel's main thread has something to do.

import { type Kernel, KernelMessage } from '@jupyterlab/services';

/**
 * Follows what is executed. The kernel's status does not tell: what a subshell does, such as answering us,
 * counts there as well.
 */
export class Busy {
  constructor(kernel: Kernel.IKernelConnection) {
    if (kernel.status === 'busy') {
      this._going.add(BEFORE);
    }
    kernel.anyMessage.connect(this._onMessage, this);
    kernel.statusChanged.connect(this._onStatus, this);
  }

  /** Whether something goes on, or waits for its turn. */
  get now(): boolean {
    return this._going.size > 0;
  }

  /** Resolves when it is free, or when what it does now has taken a while: cells that were just run end soon. */
  async settled(): Promise<void> {
    while (this.now && Date.now() < this._since + SHORT) {
      await new Promise(resolve => window.setTimeout(resolve, LOOK));
    }
  }

  private _onStatus(_: Kernel.IKernelConnection, status: Kernel.Status): void {
    if (status === 'restarting' || status === 'autorestarting' || status === 'dead') {
      this._going.clear();
    }
  }

  private _onMessage(_: Kernel.IKernelConnection, { msg, direction }: Kernel.IAnyMessageArgs): void {
    const message = msg as KernelMessage.IMessage;
    if (direction === 'send') {
      if (message.header.msg_type === 'execute_request') {
        this._going.add(message.header.msg_id);
      }
    } else if (KernelMessage.isStatusMsg(message)) {
      const { msg_type, msg_id } = message.parent_header as Partial<KernelMessage.IHeader>;
      if (msg_type === 'execute_request' && msg_id) {
        if (message.content.execution_state === 'busy') {
          this._going.add(msg_id);
          this._since = Date.now();
        } else {
          this._going.delete(msg_id);
          this._going.delete(BEFORE);
        }
      }
    }
  }

  private _going = new Set<string>();
  private _since = 0; // when what goes on now began
}

/** How long cells may take that a message waits for, and between two looks, in milliseconds. */
const SHORT = 1_500;
const LOOK = 50;

/** Stands for what was executed before the page was there. */
const BEFORE = '';
