// A tree that is gone through with the arrow keys. What is closed is not drawn, and what has not changed is not redrawn.

import { h, named } from './dom';

export interface ITreeItem {
  key: string;
  /** What a screen reader calls it. */
  label: string;
  /** Everything it is drawn from. */
  drawn: unknown;
  draw: () => (Node | string)[];
  /** Null: nothing can be in it. */
  inside: readonly ITreeItem[] | null;
}

interface INode {
  li: HTMLLIElement;
  row: HTMLElement;
  group: HTMLElement;
  json: string;
  item: ITreeItem;
  level: number;
}

export class Tree {
  /**
   * @param onOpen - An item is opened or closed.
   * @param onChoose - An item is chosen, or none any more.
   */
  constructor(
    label: string,
    private _onOpen: (key: string, open: boolean) => void,
    private _onChoose: (key: string | null) => void
  ) {
    named(this.node, 'tree', label);
    this.node.addEventListener('keydown', event => this._key(event));
    this.node.addEventListener('click', event => this._click(event));
  }

  readonly node = h('ul', 'lk-Tree');
  readonly open = new Set<string>();
  chosen: string | null = null;

  /** Show items; `detail` stands below the chosen one. */
  draw(items: readonly ITreeItem[], detail: HTMLElement): void {
    const seen = new Set<string>();
    this._place(this.node, items, 1, seen);
    for (const [key, { li }] of this._nodes) {
      if (!seen.has(key)) {
        li.remove();
        this._nodes.delete(key);
      }
    }
    const chosen = this._nodes.get(this.chosen ?? '');
    if (!chosen) {
      detail.remove();
    } else if (detail.parentNode !== chosen.li) {
      chosen.row.after(detail);
    }
    this._reach(this._nodes.get(this._focused ?? '') ?? chosen ?? this._shown[0]);
  }

  /** Put the focus on an item, if it is there. */
  focus(key: string | null): void {
    this._nodes.get(key ?? '')?.li.focus();
  }

  private _place(list: HTMLElement, items: readonly ITreeItem[], level: number, seen: Set<string>): void {
    items.forEach((item, at) => {
      seen.add(item.key);
      const node = this._node(item, level);
      if (list.children[at] !== node.li) {
        list.insertBefore(node.li, list.children[at] ?? null);
      }
      const open = item.inside !== null && this.open.has(item.key);
      this._place(node.group, open ? (item.inside ?? []) : [], level + 1, seen);
    });
  }

  private _node(item: ITreeItem, level: number): INode {
    let node = this._nodes.get(item.key);
    if (!node) {
      const [row, group] = [h('div', 'lk-Tree-row'), h('ul', 'lk-Tree-group')];
      group.setAttribute('role', 'group');
      const li = h('li', '', row, group);
      li.setAttribute('role', 'treeitem');
      li.tabIndex = -1;
      li.dataset.key = item.key;
      li.addEventListener('focus', () => this._reach(this._nodes.get(item.key)));
      this._nodes.set(item.key, (node = { li, row, group, json: '', item, level }));
    }
    const { li, row, group } = node;
    node.item = item;
    node.level = level;
    const open = this.open.has(item.key);
    li.setAttribute('aria-level', String(level));
    li.setAttribute('aria-label', item.label);
    li.setAttribute('aria-selected', String(this.chosen === item.key));
    if (item.inside) {
      li.setAttribute('aria-expanded', String(open));
    }
    group.hidden = !open || !item.inside;
    const json = JSON.stringify(item.drawn);
    if (json !== node.json) {
      node.json = json;
      const twisty = h('span', 'lk-Tree-twisty');
      twisty.setAttribute('aria-hidden', 'true');
      row.replaceChildren(twisty, ...item.draw());
    }
    return node;
  }

  /** All that is shown, from top to bottom. */
  private get _shown(): INode[] {
    const found = this.node.querySelectorAll<HTMLElement>('li');
    return Array.from(found, ({ dataset }) => this._nodes.get(dataset.key ?? '')).filter(one => !!one);
  }

  /** Let the Tab key come to this one. */
  private _reach(node: INode | undefined): void {
    const before = this._nodes.get(this._focused ?? '');
    if (before) {
      before.li.tabIndex = -1;
    }
    if (node) {
      this._focused = node.item.key;
      node.li.tabIndex = 0;
    }
  }

  private _click(event: Event): void {
    const { target } = event;
    const row = target instanceof Element ? target.closest('.lk-Tree-row') : null;
    const node = this._nodes.get(row?.parentElement?.dataset.key ?? '');
    if (!node) {
      return;
    }
    const { key, inside } = node.item;
    node.li.focus();
    if ((target as Element).matches('.lk-Tree-twisty')) {
      this._toggle(key, !this.open.has(key));
    } else {
      const chosen = this.chosen === key;
      if (inside && chosen === this.open.has(key)) {
        this._toggle(key, !chosen);
      }
      this._choose(chosen ? null : key);
    }
  }

  private _toggle(key: string, open: boolean): void {
    if (open) {
      this.open.add(key);
    } else {
      this.open.delete(key);
    }
    this._onOpen(key, open);
  }

  private _choose(key: string | null): void {
    this.chosen = key;
    this._onChoose(key);
  }

  private _key(event: KeyboardEvent): void {
    const at = event.target as HTMLElement;
    const node = this._nodes.get(at.dataset.key ?? '');
    if (!node || at !== node.li || event.ctrlKey || event.altKey || event.metaKey) {
      return; // in the details
    }
    const shown = this._shown;
    const now = shown.indexOf(node);
    const { key, inside } = node.item;
    const open = this.open.has(key);
    const go = (place: number) => shown[Math.min(Math.max(place, 0), shown.length - 1)]?.li.focus();
    const acts: Record<string, () => void> = {
      ArrowDown: () => go(now + 1),
      ArrowUp: () => go(now - 1),
      Home: () => go(0),
      End: () => go(shown.length - 1),
      ArrowRight: () => (inside && !open ? this._toggle(key, true) : inside?.length && go(now + 1)),
      ArrowLeft: () =>
        inside && open
          ? this._toggle(key, false)
          : at.parentElement?.closest<HTMLElement>('[role=treeitem]')?.focus(),
      Enter: () => this._choose(this.chosen === key ? null : key),
      ' ': () => this._choose(this.chosen === key ? null : key)
    };
    const act = acts[event.key];
    if (act) {
      event.preventDefault();
      event.stopPropagation();
      act();
    }
  }

  private _nodes = new Map<string, INode>();
  private _focused: string | null = null;
}
