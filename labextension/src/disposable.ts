// What is disposed of once.

import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

/** Lets go of what it holds when it is disposed of, and of who listens to it and to whom it listens. */
export abstract class Disposable implements IDisposable {
  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this.release();
      Signal.clearData(this);
    }
  }

  /** Let go of it; called once. */
  protected abstract release(): void;

  private _isDisposed = false;
}
