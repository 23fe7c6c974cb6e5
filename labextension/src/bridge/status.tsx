// The status bar: how many agents run or wait, and what today has cost.

import { ReactWidget } from '@jupyterlab/apputils';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import * as React from 'react';

import type { Trans } from '../ui/words';
import { money } from '../ui/words';
import type { IBridge } from './bridge';

const PAUSE = 500; // milliseconds in which reasons for looking are gathered

interface IFigures {
  readonly agents: number;
  readonly running: number;
  readonly waiting: number;
  /** US dollars; null: no run had a known price. */
  readonly cost: number | null;
  readonly runs: number;
  /** Changes of memory that wait for a person's word. */
  readonly proposed: number;
  /** Agents whose memory was tidied without anybody having been told. */
  readonly tidied: number;
}

/** The item; it is there while the notebook in front has agents. */
export class AgentsStatus extends ReactWidget {
  /**
   * @param open - Opens the panel.
   */
  constructor(bridge: IBridge, trans: Trans, open: () => void) {
    super();
    this.addClass('lk-Status');
    this._bridge = bridge;
    this._trans = trans;
    this._open = open;
    this._events = new Set(['run_started', 'approval_requested', 'run_ended']);
    bridge.stateChanged.connect(this._soon, this);
    bridge.changed.connect((_, { what }) => {
      if (['runs', 'agents', 'sleeps'].some(one => what.includes(one))) {
        this._soon();
      }
    }, this);
    bridge.events.connect((_, { event }) => {
      if (this._events.has(event.type)) {
        this._soon();
      }
    }, this);
    this._soon();
  }

  /** Is there anything to show? */
  isActive(): boolean {
    return this._bridge.answeredBy !== null && (this._figures?.agents ?? 0) > 0;
  }

  get activeChanged(): ISignal<this, void> {
    return this._activeChanged;
  }

  protected override render(): React.ReactElement | null {
    const { _figures: figures, _trans: trans } = this;
    if (!figures || !this.isActive()) {
      return null;
    }
    const parts: string[] = [];
    if (figures.waiting > 0) {
      parts.push(trans._n('%1 agent waits for you', '%1 agents wait for you', figures.waiting));
    }
    if (figures.running > 0 || figures.waiting === 0) {
      parts.push(
        figures.running > 0
          ? trans._n('%1 agent running', '%1 agents running', figures.running)
          : trans.__('Agents idle')
      );
    }
    if (figures.proposed > 0) {
      parts.push(
        trans._n('%1 change of memory proposed', '%1 changes of memory proposed', figures.proposed)
      );
    }
    if (figures.tidied > 0) {
      parts.push(trans.__('memory tidied'));
    }
    if (figures.runs > 0 && figures.cost !== null) {
      parts.push(trans.__('%1 today', money(figures.cost)));
    }
    return (
      <button
        type="button"
        className={figures.waiting > 0 ? 'lk-Status-button lk-mod-waiting' : 'lk-Status-button'}
        title={trans.__('Show the Agents panel')}
        onClick={this._open}
      >
        {parts.join(' · ')}
      </button>
    );
  }

  private _soon(): void {
    window.clearTimeout(this._timer);
    if (this._bridge.answeredBy === null) {
      this._figures = null;
      this._show();
      return;
    }
    this._timer = window.setTimeout(() => void this._look(), PAUSE);
  }

  private async _look(): Promise<void> {
    try {
      const [agents, cost, asleep] = await Promise.all([
        this._bridge.request<{ state: string }[]>('agents'),
        this._bridge.request<{ cost: number | null; runs: number }>('cost', { since: 'today' }),
        this._bridge
          .request<{ proposed: number; tidied: number }>('sleeptime.news')
          .catch(() => ({ proposed: 0, tidied: 0 })) // an older kernel
      ]);
      const count = (state: string) => agents.filter(agent => agent.state === state).length;
      this._figures = {
        agents: agents.length,
        running: count('running'),
        waiting: count('waiting'),
        cost: cost.cost,
        runs: cost.runs,
        ...asleep
      };
    } catch {
      // Not known now; what is shown stays until the kernel is back or gone.
    }
    this._show();
  }

  private _show(): void {
    if (!this.isDisposed) {
      this.update();
      this._activeChanged.emit();
    }
  }

  private readonly _bridge: IBridge;
  private readonly _trans: Trans;
  private readonly _open: () => void;
  private readonly _events: ReadonlySet<string>;
  private _figures: IFigures | null = null;
  private _timer: number | undefined;
  private _activeChanged = new Signal<this, void>(this);
}
