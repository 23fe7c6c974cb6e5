// Looking for words within one run, folded parts included, and folding all of it.

import { h } from './dom';
import type { Trans } from './words';

const FOUND = 'lk-found';
const HERE = 'lk-found-here';

/** Matches that are shown at most; more are counted as this many. */
const MOST = 1000;

const BLOCKS =
  'article, blockquote, dd, details, div, dt, figure, h1, h2, h3, h4, h5, h6, header, li, p, pre, ' +
  'section, summary, table, td, th, tr';

/** Where words stand in the text below an element, whatever the case; blocks do not run together. */
export function findPlaces(root: HTMLElement, words: string, most = MOST): StaticRangeInit[] {
  const wanted = words.toLowerCase();
  if (!wanted.trim()) {
    return [];
  }
  const found: StaticRangeInit[] = [];
  let nodes: Text[] = [];
  let block: Element | null = null;
  const search = () => {
    const text = nodes.map(node => lower(node.data)).join('');
    for (let at = text.indexOf(wanted); at >= 0 && found.length < most; ) {
      const [startContainer, startOffset] = place(nodes, at);
      const [endContainer, endOffset] = place(nodes, at + wanted.length, true);
      found.push({ startContainer, startOffset, endContainer, endOffset });
      at = text.indexOf(wanted, at + wanted.length);
    }
    nodes = [];
  };
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode as Text;
    const parent = node.parentElement;
    if (!parent || parent.closest('.lk-spoken, .lk-Code-tools, mjx-assistive-mml')) {
      continue;
    }
    const own = parent.closest(BLOCKS);
    if (own !== block) {
      search();
      block = own;
    }
    nodes.push(node);
  }
  search();
  return found;
}

/** In lower case where that keeps every character in its place. */
function lower(text: string): string {
  const low = text.toLowerCase();
  return low.length === text.length ? low : text;
}

/** The text node and offset of a character; as the end of something, the one it belongs to. */
function place(nodes: Text[], at: number, end = false): [Text, number] {
  let left = at;
  for (const node of nodes) {
    if (left < node.length || (end && left === node.length)) {
      return [node, left];
    }
    left -= node.length;
  }
  const last = nodes[nodes.length - 1];
  return [last, last.length];
}

/** Browsers of before 2025 may not be able to. */
const CAN_MARK = typeof CSS !== 'undefined' && 'highlights' in CSS;

/** Marks places on the page without changing it, where the browser can. */
class Marks {
  set(places: StaticRangeInit[], here: number): void {
    this.clear();
    if (!CAN_MARK) {
      return;
    }
    this._own = [
      [FOUND, places.map(place => new StaticRange(place))],
      [HERE, places.slice(here, here + 1).map(place => new StaticRange(place))]
    ];
    for (const [name, own] of this._own) {
      const all = CSS.highlights.get(name) ?? new Highlight();
      own.forEach(range => all.add(range));
      CSS.highlights.set(name, all);
    }
  }

  clear(): void {
    for (const [name, own] of this._own) {
      own.forEach(range => CSS.highlights.get(name)?.delete(range));
    }
    this._own = [];
  }

  private _own: [string, StaticRange[]][] = [];
}

/** The two buttons of a run and the line to search it with. */
export class Finder {
  constructor(body: HTMLElement, trans: Trans) {
    this._body = body;
    this._trans = trans;
    this._field.type = 'text';
    this._field.placeholder = trans.__('Search this run');
    this._field.setAttribute('aria-label', trans.__('Search this run'));
    this._count.setAttribute('role', 'status');
    this._line.hidden = true;
    this._line.append(
      this._field,
      this._count,
      this.button('↑', trans.__('Previous match'), () => this._go(-1)),
      this.button('↓', trans.__('Next match'), () => this._go(1)),
      this.button('✕', trans.__('Close the search'), () => this.close())
    );
    const fold = this.button('↕', trans.__('Unfold or fold everything'), () => this.foldAll());
    this.node.append(this._line, this.button('⌕', trans.__('Search this run'), this.open), fold);
    this._field.addEventListener('input', () => this._search(0));
    // The notebook has other plans with these keys.
    this.node.dataset.lmSuppressShortcuts = 'true';
    this.node.addEventListener('keydown', event => this._onKey(event));
  }

  readonly node = h('div', 'lk-Find');

  /** Show the line to search with. */
  open = (): void => {
    this._line.hidden = false;
    this.node.classList.add('lk-mod-open');
    this._field.focus();
    this._field.select();
    this._search(this._at);
  };

  close(): void {
    this._line.hidden = true;
    this.node.classList.remove('lk-mod-open');
    this._marks.clear();
    this._places = [];
  }

  /** Look again, after the run has been drawn anew. */
  refresh(): void {
    if (!this._line.hidden) {
      this._search(this._at, false);
    }
  }

  /** Open every fold; close them all if all are open. */
  foldAll(): void {
    const folds = Array.from(this._body.querySelectorAll('details'));
    const open = folds.some(details => !details.open);
    folds.forEach(details => (details.open = open));
  }

  dispose(): void {
    this._marks.clear();
  }

  private _onKey(event: KeyboardEvent): void {
    if (event.key === 'Escape' && !this._line.hidden) {
      event.preventDefault();
      this.close();
      this.node.querySelector<HTMLElement>(':scope > button')?.focus();
    } else if (event.key === 'Enter' && event.target === this._field && !event.isComposing) {
      event.preventDefault();
      this._go(event.shiftKey ? -1 : 1);
    }
    event.stopPropagation();
  }

  private _search(at: number, show = true): void {
    this._places = findPlaces(this._body, this._field.value);
    this._at = Math.min(at, Math.max(this._places.length - 1, 0));
    this._show(show);
  }

  private _go(by: number): void {
    const count = this._places.length;
    this._at = count ? (this._at + by + count) % count : 0;
    this._show(true);
  }

  private _show(scroll: boolean): void {
    const { length } = this._places;
    this._marks.set(this._places, this._at);
    this._count.textContent = !this._field.value
      ? ''
      : length
        ? this._trans.__('%1 of %2', this._at + 1, length)
        : this._trans.__('not found');
    const element = this._places[this._at]?.startContainer.parentElement;
    if (!scroll || !element) {
      return;
    }
    for (let fold = hidingFold(element); fold; fold = hidingFold(fold)) {
      fold.open = true;
    }
    element.scrollIntoView?.({ block: 'nearest' });
  }

  /** Make a button of this row. */
  button(sign: string, label: string, act: () => void): HTMLButtonElement {
    const button = h('button', 'lk-Find-button', sign);
    button.type = 'button';
    button.title = label;
    button.setAttribute('aria-label', label);
    button.addEventListener('click', act);
    return button;
  }

  private _body: HTMLElement;
  private _trans: Trans;
  private _line = h('span', 'lk-Find-line');
  private _field = h('input', 'lk-Find-field');
  private _count = h('span', 'lk-Find-count lk-muted');
  private _marks = new Marks();
  private _places: StaticRangeInit[] = [];
  private _at = 0;
}

/** The closed fold that hides an element; its summary is to be seen all the same. */
function hidingFold(element: Element): HTMLDetailsElement | null {
  for (let up = element.parentElement; up; up = up.parentElement) {
    const summary = element.closest('summary');
    if (up instanceof HTMLDetailsElement && !up.open && summary?.parentElement !== up) {
      return up;
    }
  }
  return null;
}
