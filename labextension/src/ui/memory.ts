// An agent's memory blocks: read, edited in place, undone, looked back at.

import { button } from './ask';
import { BlockView } from './block';
import type { AskBlocks, IBlock } from './blocks';
import { h } from './dom';
import { keepKeys } from './keys';
import { NewBlock } from './newblock';
import type { Trans } from './words';
import { grouped } from './words';

export class MemoryView {
  /**
   * @param textAlone - The blocks can be given other texts at most: they are somebody else's.
   */
  constructor(
    readonly ask: AskBlocks,
    readonly trans: Trans,
    readonly textAlone = false
  ) {
    this._said.setAttribute('role', 'status');
    this._add = button(trans.__('New block'), 'lk-mod-small', () => this._form());
    this._add.hidden = textAlone;
    const head = h('div', 'lk-Memory-head', this._title, this._sum);
    this.node.setAttribute('role', 'group');
    this.node.append(
      h('div', 'lk-Memory-top', head, this._add),
      this._made,
      this._list,
      this._said
    );
    keepKeys(this.node);
    this.name = '';
  }

  readonly node = h('div', 'lk-Blocks');

  /** Whose memory it is. */
  set name(name: string) {
    const title = name ? this.trans.__('Memory of %1', name) : '';
    this._title.textContent = title;
    this._title.dir = 'auto';
    this.node.setAttribute('aria-label', title || this.trans.__('Memory'));
  }

  /** Show the blocks as they are now. What a person is writing stays. */
  update(blocks: readonly IBlock[]): void {
    const changed: string[] = [];
    const ids = new Set(blocks.map(({ id }) => id));
    for (const [id, view] of this._blocks) {
      if (!ids.has(id)) {
        this._blocks.delete(id);
        view.taken();
      }
    }
    blocks.forEach((block, place) => {
      let view = this._blocks.get(block.id);
      if (!view) {
        view = new BlockView(this, block);
        this._blocks.set(block.id, view);
      } else if (view.update(block)) {
        const { by, label } = block;
        changed.push(by ? this.trans.__('%1 (by %2)', label, by) : label);
      }
      if (this._list.children[place] !== view.node) {
        this._list.insertBefore(view.node, this._list.children[place] ?? null);
      }
    });
    const tokens = blocks.reduce((sum, block) => sum + block.tokens, 0);
    this._sum.textContent = [
      this.trans._n('%1 block', '%1 blocks', blocks.length),
      this.trans._n('%2 token', '%2 tokens', tokens, grouped(tokens))
    ].join(' · ');
    if (changed.length) {
      this.say(this.trans.__('%1: changed.', changed.join(', ')));
    }
  }

  /** Tell those who do not see it. */
  say(text: string): void {
    this._said.textContent = text;
  }

  private _form(): void {
    const done = () => {
      this._made.replaceChildren();
      this._add.hidden = false;
      this._add.focus();
    };
    const form = new NewBlock(this, done);
    this._add.hidden = true;
    this._made.replaceChildren(form.node);
    form.focus();
  }

  private _blocks = new Map<string, BlockView>();
  private _title = h('b', '');
  private _sum = h('span', 'lk-muted lk-small');
  private _add: HTMLButtonElement;
  private _made = h('div', '');
  private _list = h('div', '');
  private _said = h('div', 'lk-spoken');
}
