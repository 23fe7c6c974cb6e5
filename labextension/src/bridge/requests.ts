// The questions that a connection has asked and that wait for an answer.

import type { JSONObject } from '@lumino/coreutils';

import { RpcError } from './bridge';

interface IWaiting {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  timer: number | undefined;
}

export class Requests {
  /**
   * Send a question and wait for its answer.
   *
   * @param send - Sends it, with the number that the answer will have.
   * @param timeout - How long to wait, in milliseconds; null: for ever.
   * @param late - What to say when that was too short.
   */
  ask(send: (id: number) => void, timeout: number | null, late: string): Promise<unknown> {
    const id = ++this._last;
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this._waiting.delete(id);
        reject(new RpcError('Timeout', late));
      };
      const timer = timeout === null ? undefined : window.setTimeout(giveUp, timeout);
      this._waiting.set(id, { resolve, reject, timer });
      send(id);
    });
  }

  /** An answer has come; one to a question that was given up is dropped. */
  answer(data: JSONObject): void {
    const id = data.id as number;
    const waiting = this._waiting.get(id);
    if (!waiting) {
      return;
    }
    this._waiting.delete(id);
    window.clearTimeout(waiting.timer);
    const error = data.error as { kind?: string; message?: string } | undefined;
    if (error) {
      waiting.reject(new RpcError(String(error.kind), String(error.message)));
    } else {
      waiting.resolve(data.result);
    }
  }

  /** No answer will come any more; *text* says why. */
  fail(text: string): void {
    const waiting = [...this._waiting.values()];
    this._waiting.clear();
    for (const { reject, timer } of waiting) {
      window.clearTimeout(timer);
      reject(new RpcError('Lost', text));
    }
  }

  private _last = 0;
  private _waiting = new Map<number, IWaiting>();
}
