// The settings of the extension: what the kernel is told of them, and what finished runs do with them.

import { Notification } from '@jupyterlab/apputils';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal, type ISignal } from '@lumino/signaling';

import { RpcError, type IBridge } from '../bridge/bridge';
import { ALL_FOLDED, type IFolds } from '../ui/view';

/** Errors of the kernel about what was chosen; others are of its going away. */
const REFUSED = new Set(['InvalidInputError', 'NotFoundError']);

/** What was chosen; before the settings are read, and without any, the defaults. */
export class Choices {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** What is folded in a finished run. */
  get folds(): IFolds {
    return this._folds;
  }

  /** Follow JupyterLab's settings, and tell every kernel that answers. */
  follow(settings: ISettingRegistry.ISettings, bridge: IBridge | null): void {
    const read = () => {
      const composite = settings.composite;
      const folds = composite.folds as Partial<IFolds> | undefined;
      this._folds = { ...ALL_FOLDED, ...folds };
      this._told = {
        default_model: String(composite.defaultModel ?? ''),
        approval: composite.approvalPolicy ?? 'ask',
        streaming: composite.streaming !== false
      };
      this._changed.emit();
    };
    read();
    const tell = () => {
      if (bridge?.state === 'ready') {
        bridge.request('settings', this._told).catch((error: unknown) => {
          // A kernel that goes away meanwhile is told when it is there again.
          if (error instanceof RpcError && REFUSED.has(error.kind)) {
            Notification.warning(error.message, { autoClose: 10_000 });
          }
        });
      }
    };
    settings.changed.connect(() => {
      read();
      tell();
    });
    bridge?.stateChanged.connect(tell);
    bridge?.notebookChanged.connect(tell);
    tell();
  }

  private _folds = ALL_FOLDED;
  private _told: Record<string, unknown> = {};
  private _changed = new Signal<this, void>(this);
}
