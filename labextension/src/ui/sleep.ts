// What another agent has made of an agent's memory while it rested, and what it proposes, to be decided.

import { button } from './ask';
import type { AskBlocks } from './blocks';
import { h, named } from './dom';
import { drawDiff } from './entries';
import { moment } from './history';
import { keepKeys } from './keys';
import type { Trans } from './words';
import { oneLine, messageOf } from './words';

/** Part of a proposal that can be decided by itself: the lines before and after. */
export interface IPart {
  before: string;
  after: string;
}

export interface IProposal {
  id: string;
  /** The block's; empty for a passage of the archive. */
  label: string;
  reason: string;
  parts: IPart[];
}

export interface ISleep {
  /** Of the agent that tidies. */
  name: string;
  /** Turns after which it looks. */
  every: number;
  review: boolean;
  turns: number;
  running: boolean;
  /** Why nothing comes of it now; empty if all is well. */
  doubt: string;
  last: {
    id: string;
    status: 'open' | 'done' | 'stopped' | 'failed' | 'undone';
    at: string;
    note: string;
    told: boolean;
    /** Labels of blocks; an empty one for the archive. */
    changed: string[];
  } | null;
  proposals: IProposal[];
}

export class SleepView {
  constructor(
    private _ask: AskBlocks,
    private _trans: Trans
  ) {
    named(this.node, 'group', _trans.__('Tidied while at rest'));
    this.node.hidden = true;
    this._said.setAttribute('role', 'status');
    this._wrong.setAttribute('role', 'alert');
    keepKeys(this.node);
    this.node.append(this._head, this._list, this._wrong, this._said);
  }

  readonly node = h('div', 'lk-Sleep');

  /** Show how it stands; null: nobody tidies this memory. */
  update(sleep: ISleep | null): void {
    const key = JSON.stringify(sleep);
    if (key === this._shown) {
      return;
    }
    this._shown = key;
    this.node.hidden = sleep === null;
    if (sleep === null) {
      return;
    }
    const focused = this._list.contains(document.activeElement)
      ? document.activeElement?.closest<HTMLElement>('.lk-Proposal')?.dataset.proposal
      : undefined;
    this._head.replaceChildren(...this._drawHead(sleep));
    const { proposals } = sleep;
    const cards = proposals.map(one => this._draw(one));
    this._list.replaceChildren(...(proposals.length > 1 ? [this._all(proposals)] : []), ...cards);
    if (focused !== undefined && cards.length) {
      const again = cards.find(card => card.dataset.proposal === focused) ?? cards[0];
      again.focus();
    }
  }

  private _drawHead(sleep: ISleep): HTMLElement[] {
    const trans = this._trans;
    const { doubt, every, last, name, running, turns } = sleep;
    const facts = running
      ? trans.__('%1 is tidying now', name)
      : trans._n('%2 tidies after every turn', '%2 tidies after every %1 turns', every, name);
    const so_far = running ? '' : trans._n('%1 turn so far', '%1 turns so far', turns);
    const line = h('div', 'lk-muted lk-small', [facts, so_far].filter(Boolean).join(' · '));
    line.dir = 'auto';
    const nodes = [line];
    if (doubt) {
      nodes.push(h('div', 'lk-Notice lk-small lk-mod-warning', oneLine(doubt, 500)));
    }
    if (!last || running) {
      return nodes;
    }
    const at = moment(last.at);
    if (last.status === 'failed') {
      nodes.push(
        h('div', 'lk-Notice lk-small lk-mod-warning', trans.__('Could not tidy, %1: %2', at, oneLine(last.note, 500)))
      );
    } else if (last.status === 'done' && last.changed.length) {
      const what = last.changed.map(label => label || trans.__('the archive')).join(', ');
      const text = h('span', last.told ? 'lk-muted lk-small' : 'lk-Badge', trans.__('Tidied %1 · %2', what, at));
      text.dir = 'auto';
      text.title = oneLine(last.note, 500);
      const undo = this._button(trans.__('Undo'), trans.__('Take back what was tidied'), () =>
        this._act('sleeptime.undo', {}, trans.__('Taken back: %1.', what))
      );
      const seen = this._button(trans.__('OK'), trans.__('I have seen what was tidied'), () =>
        this._act('sleeptime.told', {}, '')
      );
      nodes.push(h('div', 'lk-Buttons', text, undo, ...(last.told ? [] : [seen])));
    } else if (last.status === 'undone') {
      nodes.push(h('div', 'lk-muted lk-small', trans.__('What was tidied was taken back · %1', at)));
    }
    return nodes;
  }

  private _all(proposals: readonly IProposal[]): HTMLElement {
    const trans = this._trans;
    const text = trans._n('%1 change is proposed', '%1 changes are proposed', proposals.length);
    const accept = this._button(trans.__('Accept all'), trans.__('Accept all changes'), () =>
      this._act('sleeptime.accept', {}, trans.__('All are accepted.'))
    );
    const reject = this._button(trans.__('Reject all'), trans.__('Reject all changes'), () =>
      this._act('sleeptime.reject', {}, trans.__('All are rejected.'))
    );
    return h('div', 'lk-Buttons', h('span', 'lk-Badge', text), accept, reject);
  }

  private _draw(one: IProposal): HTMLElement {
    const trans = this._trans;
    const label = one.label || trans.__('the archive');
    const which = [one.id];
    const decide = (word: 'accept' | 'reject', part?: number) => {
      const said = word === 'accept' ? trans.__('%1: accepted.', label) : trans.__('%1: rejected.', label);
      return this._act(`sleeptime.${word}`, part === undefined ? { which } : { which, part }, said);
    };
    const buttons = (of: string, part?: number) => [
      this._button(trans.__('Accept'), trans.__('Accept %1', of), () => decide('accept', part)),
      this._button(trans.__('Reject'), trans.__('Reject %1', of), () => decide('reject', part))
    ];
    const name = h('b', '', label);
    name.dir = 'auto';
    const why = h('span', 'lk-muted lk-small', oneLine(one.reason, 300));
    why.dir = 'auto';
    const head = h(
      'div',
      'lk-Memory-top',
      h('div', 'lk-Memory-head', name, why),
      h('div', 'lk-Buttons', ...buttons(label))
    );
    const several = one.parts.length > 1;
    const parts = one.parts.map(({ before, after }, index) => {
      const lines = drawDiff(before, after, trans);
      const title = trans.__('part %1 of %2', index + 1, label);
      return several
        ? h('div', 'lk-Proposal-part', h('div', '', ...lines), h('div', 'lk-Buttons', ...buttons(title, index + 1)))
        : h('div', '', ...lines);
    });
    const card = h('div', 'lk-Block lk-Proposal', head, ...parts);
    card.dataset.proposal = one.id;
    card.tabIndex = 0;
    named(card, 'group', trans.__('Proposed for %1', label));
    card.setAttribute('aria-keyshortcuts', 'a r');
    card.title = trans.__('A accepts, R rejects');
    card.addEventListener('keydown', event => {
      if (event.target !== card || event.ctrlKey || event.metaKey || event.altKey) {
        return;
      }
      const key = event.key.toLowerCase();
      const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (key === 'a' || key === 'r') {
        event.preventDefault();
        void decide(key === 'a' ? 'accept' : 'reject');
      } else if (way) {
        const cards = [...this._list.querySelectorAll<HTMLElement>('.lk-Proposal')];
        const next = cards[cards.indexOf(card) + way];
        if (next) {
          event.preventDefault();
          next.focus();
        }
      }
    });
    return card;
  }

  private _button(text: string, title: string, act: () => Promise<void>): HTMLButtonElement {
    const made = button(text, 'lk-mod-small', () => void act());
    made.title = title;
    made.setAttribute('aria-label', title);
    return made;
  }

  private async _act(method: string, params: object, said: string): Promise<void> {
    this._wrong.textContent = '';
    try {
      await this._ask(method, params);
      this._said.textContent = said;
    } catch (error) {
      this._wrong.textContent = messageOf(error);
    }
  }

  private _head = h('div', '');
  private _list = h('div', '');
  private _wrong = h('div', 'lk-Wrong');
  private _said = h('div', 'lk-spoken');
  private _shown = '';
}
