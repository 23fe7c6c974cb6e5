// What is said to a kernel to open a connection and talk over it.
//
// The messages are made by hand instead of by `kernel.createComm`, whose comms learn of subshells only from
// the kernel's info, which a kernel that was busy when the page was loaded gives when its cell has ended.

import { type Kernel, KernelMessage } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';

export const TARGET = 'letta-kernel.desk';

/**
 * Make a subshell, on which the kernel reads our messages while a cell runs; null if it cannot.
 *
 * @param timeout - How long to wait for it, in milliseconds.
 */
export async function makeSubshell(
  kernel: Kernel.IKernelConnection,
  timeout: number
): Promise<string | null> {
  const message = KernelMessage.createMessage<KernelMessage.ICreateSubshellRequestMsg>({
    msgType: 'create_subshell_request',
    channel: 'control',
    username: kernel.username,
    session: kernel.clientId,
    content: {}
  });
  const future = kernel.sendControlMessage(message, true, true) as Kernel.IControlFuture<
    KernelMessage.ICreateSubshellRequestMsg,
    KernelMessage.ICreateSubshellReplyMsg
  >;
  const timer = window.setTimeout(() => future.dispose(), timeout);
  try {
    return (await future.done).content.subshell_id ?? null;
  } catch {
    return null;
  } finally {
    window.clearTimeout(timer);
  }
}

/** Does the kernel say that it has connections? */
export async function hasSign(
  kernel: Kernel.IKernelConnection,
  subshellId: string | null
): Promise<boolean> {
  const message = KernelMessage.createMessage<KernelMessage.ICommInfoRequestMsg>({
    msgType: 'comm_info_request',
    channel: 'shell',
    username: kernel.username,
    session: kernel.clientId,
    subshellId,
    content: { target_name: TARGET }
  });
  const future = kernel.sendShellMessage(message, true, true) as Kernel.IShellFuture<
    KernelMessage.ICommInfoRequestMsg,
    KernelMessage.ICommInfoReplyMsg
  >;
  const { content } = await future.done;
  return content.status === 'ok' && Object.keys(content.comms).length > 0;
}

/** Send a comm's message; the kernel answers, if at all, with messages of its own. */
export function sendComm(
  kernel: Kernel.IKernelConnection,
  subshellId: string | null,
  msgType: 'comm_open' | 'comm_msg' | 'comm_close',
  content: JSONObject
): void {
  const message = KernelMessage.createMessage({
    msgType,
    channel: 'shell',
    username: kernel.username,
    session: kernel.clientId,
    subshellId,
    content
  } as unknown as KernelMessage.IOptions<KernelMessage.ICommMsgMsg<'shell'>>);
  // Nothing is answered on the shell channel, so nobody would ever be done with the future.
  kernel.sendShellMessage(message, false, true).dispose();
}

/** What a promise comes to, or null if that takes longer than so many milliseconds. */
export async function within<T>(timeout: number, promise: Promise<T>): Promise<T | null> {
  let timer: number | undefined;
  const late = new Promise<null>(resolve => (timer = window.setTimeout(() => resolve(null), timeout)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    window.clearTimeout(timer);
  }
}
