// Calls that wait for a person's word, as notifications wherever the person is in JupyterLab.

import { Notification } from '@jupyterlab/apputils';

import type { Trans } from '../ui/words';
import { oneLine } from '../ui/words';
import type { Desk } from './desk';
import type { Bridge } from './follow';

interface ICall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

interface IAgent {
  readonly id: string;
  readonly name: string;
  readonly state: string;
}

/** How long to gather reasons for looking, in milliseconds. */
const PAUSE = 200;
const LONGEST_MESSAGE = 135; // JupyterLab shows 140 characters
const LONGEST_NAME = 40;
const GONE = 8000; // milliseconds after which an error goes by itself

/** Keeps one notification for each agent that waits, until somebody has answered, here or elsewhere. */
export class Approvals {
  /**
   * @param show - Shows more of an agent than a notification can.
   */
  constructor(bridge: Bridge, trans: Trans, show: () => void) {
    this._bridge = bridge;
    this._trans = trans;
    this._show = show;
    bridge.desksChanged.connect(this._soon, this);
    bridge.anyChanged.connect(this._soon, this);
  }

  private _soon(): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => {
      if (this._looking) {
        this._again = true;
      } else {
        void this._look();
      }
    }, PAUSE);
  }

  private async _look(): Promise<void> {
    this._looking = true;
    do {
      this._again = false;
      await this._compare();
    } while (this._again);
    this._looking = false;
  }

  /** Bring what is shown in line with who waits now. */
  private async _compare(): Promise<void> {
    const projects = new Map<string, Desk[]>();
    for (const desk of this._bridge.desks) {
      projects.set(desk.home, [...(projects.get(desk.home) ?? []), desk]);
    }
    const found = new Set<string>();
    for (const [home, desks] of projects) {
      try {
        const agents = await desks[0].request<IAgent[]>('agents');
        for (const agent of agents) {
          const asking = desks.find(desk => desk.asking.includes(agent.id));
          if (asking || agent.state === 'waiting') {
            const desk = asking ?? desks[0];
            const calls = await desk.request<ICall[]>('pending', { agent: agent.id });
            const key = [home, agent.id, ...calls.map(({ id }) => id)].join('\n');
            if (calls.length > 0) {
              found.add(key);
              this._notify(key, agent, calls, home);
            }
          }
        }
      } catch {
        // Not known now: what is shown stays. A desk that is back says so.
        [...this._shown.keys()].filter(key => key.startsWith(`${home}\n`)).forEach(k => found.add(k));
      }
    }
    for (const [key, id] of this._shown) {
      if (!found.has(key)) {
        this._shown.delete(key);
        Notification.dismiss(id);
      }
    }
  }

  private _notify(key: string, agent: IAgent, calls: readonly ICall[], home: string): void {
    if (this._shown.has(key)) {
      return;
    }
    const { _trans: trans } = this;
    const name = oneLine(agent.name, LONGEST_NAME);
    const told = trans.__('%1 asks: may it run %2?', name, calls.map(written).join(', '));
    const answer = (approve: boolean) => () => void this._answer(home, agent, calls, approve);
    const id = Notification.emit(oneLine(told, LONGEST_MESSAGE), 'warning', {
      autoClose: false,
      actions: [
        { label: trans.__('Approve'), displayType: 'accent', callback: answer(true) },
        { label: trans.__('Deny'), displayType: 'warn', callback: answer(false) },
        {
          label: trans.__('Show'),
          caption: trans.__('Show the agent and the whole call'),
          callback: event => {
            event.preventDefault(); // it stays until it is answered
            this._show();
          }
        }
      ]
    });
    this._shown.set(key, id);
  }

  private async _answer(
    home: string,
    agent: IAgent,
    calls: readonly ICall[],
    approve: boolean
  ): Promise<void> {
    const desks = this._bridge.desks.filter(desk => desk.home === home);
    const desk = desks.find(({ asking }) => asking.includes(agent.id)) ?? desks[0];
    try {
      const decisions = calls.map(({ id }) => ({ call_id: id, approve }));
      await desk?.request('approve', { agent: agent.id, decisions });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      Notification.error(oneLine(text, LONGEST_MESSAGE), { autoClose: GONE });
    }
    this._soon();
  }

  private readonly _bridge: Bridge;
  private readonly _trans: Trans;
  private readonly _show: () => void;
  private readonly _shown = new Map<string, string>();
  private _timer: number | undefined;
  private _looking = false;
  private _again = false;
}

/** A call as one would write it, without its less interesting parts. */
function written({ name, arguments: given }: ICall): string {
  let text = given;
  try {
    const values = JSON.parse(given) as Record<string, unknown>;
    text = Object.entries(values)
      .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
      .join(', ');
  } catch {
    // as the model wrote it
  }
  return `${name}(${oneLine(text, 70)})`;
}
