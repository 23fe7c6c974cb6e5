// Which widget models of a notebook's kernel this page knows.

import type { ISessionContext } from '@jupyterlab/apputils';
import { Signal, type ISignal } from '@lumino/signaling';

import type { ILiveWidgets } from './widgethost';

/** A widget's model lives as long as the comm of the same id is open on the kernel's connection. */
export class KernelWidgets implements ILiveWidgets {
  constructor(session: ISessionContext) {
    this._session = session;
    session.statusChanged.connect(this._emit, this);
    session.kernelChanged.connect(this._emit, this);
    session.disposed.connect(() => Signal.clearData(this));
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  has(modelId: string): boolean {
    return this._session.session?.kernel?.hasComm(modelId) ?? false;
  }

  private _emit(): void {
    this._changed.emit();
  }

  private _session: ISessionContext;
  private _changed = new Signal<this, void>(this);
}
