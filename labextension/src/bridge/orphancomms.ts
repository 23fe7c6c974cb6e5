// Comms that were opened before this page was, and what JupyterLab says when they close.

import { type Kernel, KernelMessage } from '@jupyterlab/services';

const WIDGETS = 'jupyter.widget';

/**
 * A page that was loaded in the middle of a run does not know the run's live view, and JupyterLab logs an
 * error when the kernel closes the comm of a view that it does not know. So it is made known just before.
 */
export class OrphanComms {
  constructor(kernel: Kernel.IKernelConnection) {
    kernel.anyMessage.connect(this._onMessage, this);
  }

  /** The comms of the kernel's live views; null: not known yet, so it may be any. */
  ids: ReadonlySet<string> | null = null;

  private _onMessage(kernel: Kernel.IKernelConnection, { msg, direction }: Kernel.IAnyMessageArgs): void {
    if (direction !== 'recv' || !KernelMessage.isCommCloseMsg(msg as KernelMessage.IMessage)) {
      return;
    }
    const { comm_id: id } = msg.content as KernelMessage.ICommCloseMsg['content'];
    // This signal comes before the message is handled, which disposes of the comm that we make.
    if ((this.ids?.has(id) ?? true) && kernel.handleComms && !kernel.hasComm(id)) {
      kernel.createComm(WIDGETS, id);
    }
  }
}
