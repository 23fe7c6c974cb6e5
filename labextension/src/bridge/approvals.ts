// Calls that wait for a person's word, as notifications wherever the person is in JupyterLab.

import { Notification } from '@jupyterlab/apputils';

import { isChange } from '../ui/faces';
import type { ICall } from '../ui/page';
import type { Trans } from '../ui/words';
import { oneLine, messageOf } from '../ui/words';
import type { IWait, Waiting } from './waiting';

const LONGEST_MESSAGE = 135; // JupyterLab shows 140 characters
const LONGEST_NAME = 40;
const GONE = 8000; // milliseconds after which an error goes by itself

/** Keeps one notification for each agent that waits, until somebody has answered, here or elsewhere. */
export class Approvals {
  /**
   * @param show - Shows more of an agent than a notification can.
   * @param seen - Whether what waits is before the person's eyes already.
   */
  constructor(
    waiting: Waiting,
    trans: Trans,
    show: (wait: IWait) => void,
    seen: (wait: IWait) => boolean = () => false
  ) {
    this._waiting = waiting;
    this._trans = trans;
    this._show = show;
    this._seen = seen;
    waiting.changed.connect(this.compare, this);
  }

  /** Bring what is shown in line with who waits now. */
  compare(): void {
    const waits = this._waiting.waits.filter(wait => !this._seen(wait));
    waits.forEach(wait => this._notify(wait));
    const known = new Set(waits.map(({ key }) => key));
    for (const [key, id] of this._shown) {
      if (!known.has(key)) {
        this._shown.delete(key);
        Notification.dismiss(id);
      }
    }
  }

  private _notify(wait: IWait): void {
    if (this._shown.has(wait.key)) {
      return;
    }
    const { _trans: trans } = this;
    const name = oneLine(wait.agent.name, LONGEST_NAME);
    const told = wait.calls.every(isChange)
      ? trans._n(
          '%2 proposes a change to a notebook.',
          '%2 proposes %1 changes to a notebook.',
          wait.calls.length,
          name
        )
      : trans.__('%1 asks: may it run %2?', name, wait.calls.map(written).join(', '));
    const answer = (approve: boolean) => () =>
      wait.calls.forEach(({ id }) => this._waiting.decide(id, { approve }));
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
            this._show(wait);
          }
        }
      ]
    });
    this._shown.set(wait.key, id);
  }

  private readonly _waiting: Waiting;
  private readonly _trans: Trans;
  private readonly _show: (wait: IWait) => void;
  private readonly _seen: (wait: IWait) => boolean;
  private readonly _shown = new Map<string, string>();
}

/** Say why an answer was refused. */
export function tellRefusal(error: unknown): void {
  const text = messageOf(error);
  Notification.error(oneLine(text, LONGEST_MESSAGE), { autoClose: GONE });
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
