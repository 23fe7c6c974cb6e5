// The form for a memory block there is not yet.

import { button, field } from './ask';
import type { IBlockHost } from './blocks';
import { h, named } from './dom';
import { messageOf } from './words';

/** Characters a block may hold unless something else is asked for. */
const LIMIT = 20_000;

export class NewBlock {
  constructor(
    private _memory: IBlockHost,
    private _done: () => void
  ) {
    const { trans } = _memory;
    const title = trans.__('New memory block');
    this._value = field(trans.__('Text'), '', 3);
    this._limit.type = 'number';
    this._limit.min = '1';
    this._limit.value = String(LIMIT);
    this._about.dir = this._label.dir = 'auto';
    this._wrong.setAttribute('role', 'alert');
    const labelled = (name: string, input: HTMLElement) =>
      h('label', 'lk-Named', h('span', 'lk-muted lk-small', name), input);
    named(this.node, 'group', title);
    this.node.append(
      h(
        'div',
        'lk-Names',
        labelled(trans.__('Label'), this._label),
        labelled(trans.__('Limit in characters'), this._limit),
        labelled(trans.__('What the agent is told it is for'), this._about)
      ),
      this._value,
      h(
        'div',
        'lk-Buttons',
        button(trans.__('Create block'), 'lk-mod-good', () => void this._make()),
        button(trans.__('Cancel'), '', _done)
      ),
      this._wrong
    );
    this.node.addEventListener('keydown', event => this._key(event));
  }

  readonly node = h('div', 'lk-Block');

  focus(): void {
    this._label.focus();
  }

  private _key(event: KeyboardEvent): void {
    const { target } = event;
    if (event.key === 'Escape') {
      this._done();
    } else if (event.key === 'Enter' && !event.isComposing && !(target instanceof HTMLButtonElement)) {
      if (target !== this._value || event.ctrlKey || event.metaKey) {
        event.preventDefault();
        void this._make();
      }
    }
  }

  private async _make(): Promise<void> {
    const { ask, trans } = this._memory;
    const label = this._label.value.trim();
    this._wrong.textContent = '';
    try {
      await ask('block.create', {
        label,
        value: this._value.value,
        limit: Number(this._limit.value),
        description: this._about.value
      });
      this._memory.say(trans.__('%1 is made.', label));
      this._done();
    } catch (error) {
      this._wrong.textContent = messageOf(error);
    }
  }

  private _label = h('input', 'lk-Field');
  private _limit = h('input', 'lk-Field');
  private _about = h('input', 'lk-Field');
  private _value: HTMLTextAreaElement;
  private _wrong = h('div', 'lk-Wrong');
}
