// A person's text of a memory block beside what somebody else wrote meanwhile: one is chosen, or both put together.

import { button } from './ask';
import type { IBlock } from './blocks';
import { together } from './diff';
import { h, named } from './dom';
import { drawDiff } from './entries';
import type { Trans } from './words';

/** What happens when a person has decided. */
interface IDecided {
  save: () => void;
  leave: () => void;
  say: (text: string) => void;
}

export class Conflict {
  /** *base* is what both began from, *text* the field with the person's. */
  constructor(
    block: IBlock,
    base: string | null,
    text: HTMLTextAreaElement,
    trans: Trans,
    { save, leave, say }: IDecided
  ) {
    const { by, label, value, version } = block;
    const mine = text.value;
    this.title =
      by
        ? trans.__('%1 was changed by %2 while you edited it.', label, by)
        : trans.__('%1 was changed while you edited it.', label);
    this.keep = button(trans.__('Save yours'), 'lk-mod-good', save);
    const both = base === null ? null : together(base, value, mine);
    const join = button(trans.__('Put both together'), '', () => {
      text.value = both ?? '';
      text.dispatchEvent(new Event('input'));
      text.focus();
      say(trans.__('%1: both are in your text now; save it if it reads right.', label));
    });
    join.hidden = both === null || both === mine || both === value;
    const take = button(trans.__('Keep theirs'), '', () => {
      say(trans.__('%1: your text was not saved.', label));
      leave();
    });
    const theirs = h('div', 'lk-Block-value', value || trans.__('empty'));
    theirs.dir = 'auto';
    const now =
      by ? trans.__('Now in memory (v%1, by %2)', version, by) : trans.__('Now in memory (v%1)', version);
    const side = (name: string, node: HTMLElement) =>
      h('div', 'lk-Side', h('div', 'lk-small lk-strong', name), node);
    this.node = h(
      'div',
      'lk-Ask',
      h('div', 'lk-strong', this.title),
      h(
        'div',
        'lk-Sides',
        side(now, theirs),
        side(trans.__('Yours (put together here what should stay)'), text)
      ),
      h(
        'details',
        '',
        h('summary', 'lk-muted lk-small', trans.__('What differs, theirs to yours')),
        ...drawDiff(value, mine, trans)
      ),
      h('div', 'lk-Buttons', this.keep, join, take)
    );
    named(this.node, 'group', trans.__('Conflict in %1', label));
  }

  /** What happened, in a sentence. */
  readonly title: string;
  readonly keep: HTMLButtonElement;
  readonly node: HTMLElement;
}
