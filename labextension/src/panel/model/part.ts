// What every part of the panel's model is: something to watch, read when it is looked at.

import { Signal, type ISignal } from '@lumino/signaling';

import { messageOf } from '../../ui/words';
import type { Ask } from './records';

export { messageOf };

/** Something whose changes can be watched; `version` counts them. */
export abstract class Observable {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get version(): number {
    return this._version;
  }

  protected emit(): void {
    this._version++;
    this._changed.emit();
  }

  private _version = 0;
  private _changed = new Signal<this, void>(this);
}

/** Questions after which nothing is otherwise. */
const READING = /^(timeline|explain|block\.(versions|origin)|timeline\.(at|diff|preview))$/;

/**
 * Something the kernel knows of one agent. It is read when it is first shown, and again after it
 * may have changed, but never twice at a time and never while nobody looks.
 */
export abstract class Part extends Observable {
  constructor(
    protected ask: Ask,
    readonly agent: string
  ) {
    super();
  }

  /** Why it could not be read, or what an action was refused for; empty if all is well. */
  error = '';

  /** Whether it has been read at all. */
  loaded = false;

  /** Say whether somebody looks at it. */
  show(shown: boolean): void {
    this._shown = shown;
    void this._load();
  }

  /** It may have changed. */
  invalidate(): void {
    this._stale = true;
    void this._load();
  }

  /** Forget the last error. */
  dismiss(): void {
    this.error = '';
    this.emit();
  }

  /** Read everything that is shown. */
  protected abstract read(): Promise<void>;

  /** Ask something about the agent. When it is answered, what is shown is as it is then. */
  protected async askedOf<T>(method: string, params: object): Promise<T> {
    try {
      return await this.ask<T>(method, { agent: this.agent, ...params });
    } finally {
      if (!READING.test(method)) {
        await this.read();
        this.emit();
      }
    }
  }

  /** Do something for the person; false if it failed, and then `error` says why. */
  protected async act(work: () => Promise<unknown>): Promise<boolean> {
    this.error = '';
    this.emit();
    try {
      await work();
      return true;
    } catch (error) {
      this.error = messageOf(error);
      return false;
    } finally {
      this.emit();
    }
  }

  private async _load(): Promise<void> {
    if (this._loading) {
      return; // it looks again when it is done
    }
    this._loading = true;
    while (this._stale && this._shown) {
      this._stale = false;
      try {
        await this.read();
        if (this._failed) {
          this.error = '';
        }
        this.loaded = true;
        this._failed = false;
      } catch (error) {
        this.error = messageOf(error);
        this._failed = true;
      }
      this.emit();
    }
    this._loading = false;
  }

  private _shown = false;
  private _stale = true;
  private _loading = false;
  private _failed = false;
}
