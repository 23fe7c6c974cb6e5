// Draws a snapshot of a run, and redraws only what changed when the next one comes.

import { cited, markCites } from './cites';
import { fold, h } from './dom';
import { drawEntry, SPEAKERS, thoughtStart, type IHosts } from './entries';
import { Finder } from './find';
import type { IAnswer, ISnapshot, Item } from './snapshot';
import { meaning } from './stopReasons';
import { briefFooterParts, duration, footerParts, oneLine, stateWord, type Trans } from './words';

interface IEntry {
  /** Everything the entry was drawn from. */
  key: string;
  node: HTMLElement;
  item: Item;
  /** Since when the entry is in its state, on the page's clock. */
  since: number;
}

/** Which parts of a run start folded. */
export interface IFolds {
  readonly thoughts: boolean;
  readonly calls: boolean;
  readonly passages: boolean;
}

export const ALL_FOLDED: IFolds = { thoughts: true, calls: true, passages: true };

/** A running call's time is told from here on, in seconds. */
const SOON = 0.5;

/** A run as DOM nodes: a header, its entries in order, a footer. */
export class RunView {
  /**
   * `folds` says what starts folded, each time it is drawn anew. A `brief` view has one line of figures,
   * and the others on demand.
   */
  constructor(
    hosts: IHosts,
    trans: Trans,
    folds: () => IFolds = () => ALL_FOLDED,
    brief = false
  ) {
    this._hosts = hosts;
    this._trans = trans;
    this._folds = folds;
    this._brief = brief;
    this._finder = new Finder(this.body, trans);
    this._whole = this._finder.button('⤢', trans.__('Show all of it'), () => {
      this.node.classList.remove('lk-mod-bounded');
      this._whole.hidden = true;
    });
    this._whole.hidden = true;
    this._finder.node.append(this._whole);
    this.tools.append(this._finder.node);
    this.node.append(this.tools, this._header, this.body, this.asked, this._footer);
  }

  readonly node = h('article', 'lk-Run');
  /** Buttons that stand beside the header. */
  readonly tools = h('div', 'lk-Tools');
  /** The entries. */
  readonly body = h('div', 'lk-Body');
  /** A place for questions, below the entries. */
  readonly asked = h('div', 'lk-Asked');

  /** Show a snapshot. Folds that a person opened or closed stay as they are. */
  update(snapshot: ISnapshot): void {
    this.node.setAttribute('aria-label', this._trans.__('Run of %1', snapshot.agent));
    this.node.setAttribute('aria-busy', String(snapshot.state === 'running'));
    this._drawHeader(snapshot);
    this._cites = snapshot.cites;
    const last = snapshot.items.length - 1;
    let place: number | null = null;
    snapshot.items.forEach((item, index) => {
      place = item.kind === 'speaker' ? item.place % SPEAKERS : place;
      const isLast = index === last;
      const asked = this._brief || this.asked.firstChild !== null;
      const open = startsOpen(item, isLast, snapshot, this._folds(), asked);
      const grows = isLast && snapshot.state === 'running' && 'text' in item;
      this._drawItem(index, item, open, grows);
      const { node } = this._entries[index];
      if (place === null) {
        delete node.dataset.speaker;
      } else {
        node.dataset.speaker = String(place);
      }
    });
    for (const entry of this._entries.splice(snapshot.items.length)) {
      entry.node.remove();
    }
    this._drawFooter(snapshot);
    this._finder.refresh();
    this.tick();
  }

  /** Tell how long calls have been running. */
  tick(): void {
    for (const { item, node, since } of this._entries) {
      if (item.kind === 'tool_call' && item.state === 'running') {
        const seconds = (performance.now() - since) / 1000;
        const said = item.progress || stateWord(item.state, this._trans);
        const place = node.querySelector('.lk-Call-said');
        place?.replaceChildren(said + (seconds < SOON ? '' : ` · ${duration(seconds)}`));
      }
    }
  }

  /** Let a long run scroll in a box of its own, until somebody wants to see all of it. */
  bound(): void {
    this.node.classList.add('lk-mod-bounded');
    this._whole.hidden = this.body.scrollHeight <= this.body.clientHeight;
    this.body.scrollTop = this.body.scrollHeight;
  }

  dispose(): void {
    this._finder.dispose();
  }

  private _drawHeader(snapshot: ISnapshot): void {
    const queued = snapshot.items.some(item => item.kind === 'notice' && item.waits);
    const states: Partial<Record<ISnapshot['state'], string>> = {
      running: queued ? this._trans.__('waits for its turn') : this._trans.__('running'),
      waiting: this._trans.__('waits for approval')
    };
    const state = states[snapshot.state];
    this._header.replaceChildren(
      h('b', '', oneLine(snapshot.agent, 80)),
      ...(snapshot.sender
        ? [h('span', 'lk-Chip', this._trans.__('asked by %1', oneLine(snapshot.sender, 80)))]
        : []),
      h('span', 'lk-muted lk-small', oneLine(snapshot.model, 80)),
      ...(snapshot.label ? [h('span', 'lk-Chip', oneLine(snapshot.label, 160))] : []),
      ...(state ? [h('span', `lk-Chip lk-mod-${snapshot.state}`, state)] : [])
    );
  }

  private _drawItem(index: number, item: Item, open: boolean, grows: boolean): void {
    const key = JSON.stringify([item, open, grows, item.kind === 'answer' && this._cites]);
    const entry = this._entries[index];
    if (entry?.key === key) {
      return;
    }
    if (item.kind === 'answer' && entry?.node.matches('.lk-Answer')) {
      entry.key = key;
      this._drawAnswer(entry.node, item, grows);
      return;
    }
    if (item.kind === 'reasoning' && entry?.item.kind === 'reasoning' && open && grows) {
      // A box that is scrolled stays where it is.
      const text = entry.node.querySelector('.lk-Thought');
      const summary = entry.node.querySelector('.lk-Thought-start');
      if (text && summary) {
        text.textContent = item.text;
        summary.textContent = thoughtStart(item.text);
        entry.key = key;
        entry.item = item;
        return;
      }
    }
    const node =
      item.kind === 'answer'
        ? this._drawAnswer(h('div', 'lk-Answer', h('div', 'lk-Answer-text')), item, grows)
        : h('div', 'lk-Aside', drawEntry(item, open, this._hosts, this._trans));
    node.querySelectorAll('details').forEach(details => {
      details.dataset.startsOpen = String(details.open);
    });
    if (entry) {
      keepFolds(entry.node, node);
      entry.node.replaceWith(node);
    } else {
      this.body.append(node);
    }
    const goesOn = entry && stateOf(entry.item) === stateOf(item);
    this._entries[index] = { key, node, item, since: goesOn ? entry.since : performance.now() };
  }

  private _drawAnswer(node: HTMLElement, item: IAnswer, grows: boolean): HTMLElement {
    const host = node.firstElementChild as HTMLElement;
    host.dir = 'auto';
    this._hosts.markdown(host, item.text, grows);
    markCites(host, this._cites);
    node.classList.toggle('lk-mod-grows', grows);
    node.querySelector('.lk-Answer-cut')?.remove();
    if (item.interrupted) {
      const cut = this._trans.__('■ interrupted here');
      node.append(h('div', 'lk-Answer-cut lk-small lk-mod-interrupted', cut));
    }
    return node;
  }

  private _drawFooter(snapshot: ISnapshot): void {
    const { footer, state } = snapshot;
    const parts: HTMLElement[] = footerParts(footer, this._trans).map(part => h('span', '', part));
    if (state === 'waiting') {
      parts.push(h('span', 'lk-mod-waiting', this._trans.__('waits for approval')));
    } else if (footer.stopReason) {
      const well = meaning(footer.stopReason) === 'well';
      parts.push(h('span', well ? '' : 'lk-mod-warning', oneLine(footer.stopReason, 80)));
    }
    const line = h('div', 'lk-Footer-line lk-muted lk-small');
    parts.forEach((part, index) => line.append(...(index ? [' · '] : []), part));
    const numbers = cited(this.body);
    const sources = Object.entries(this._cites)
      .filter(([n]) => numbers.has(n))
      .map(([n, said]) => h('div', '', `[${n}] ${said}`));
    const figures = this._brief && parts.length ? this._foldFigures(snapshot, line) : line;
    this._footer.replaceChildren(
      ...(footer.error ? [h('div', 'lk-Footer-error', oneLine(footer.error, 1000))] : []),
      ...(sources.length
        ? [fold('sources', 'lk-small', [this._trans.__('Sources: %1', sources.length)], sources)]
        : []),
      ...(parts.length ? [figures] : [])
    );
  }

  private _foldFigures({ footer, state }: ISnapshot, whole: HTMLElement): HTMLElement {
    const brief = briefFooterParts(footer, this._trans);
    if (state === 'waiting') {
      brief.unshift(this._trans.__('waits for approval'));
    }
    const summary = h('summary', 'lk-muted lk-small', brief.join(' · ') || this._trans.__('figures'));
    summary.title = this._trans.__('All figures of this run');
    const details = h('details', 'lk-Footer-brief', summary, whole);
    details.open = this._footer.querySelector('details')?.open ?? false;
    return details;
  }

  private _cites: ISnapshot['cites'] = {};
  private _hosts: IHosts;
  private _trans: Trans;
  private _folds: () => IFolds;
  private _brief: boolean;
  private _finder: Finder;
  private _whole: HTMLButtonElement;
  private _header = h('header', 'lk-Header');
  private _footer = h('footer', 'lk-Footer');
  private _entries: IEntry[] = [];
}

/**
 * The thought being thought is open, and so is a call that a person has to decide on, unless a question
 * shows it (`asked`); of the rest, what the person does not want folded.
 */
function startsOpen(
  item: Item,
  isLast: boolean,
  snapshot: ISnapshot,
  folds: IFolds,
  asked: boolean
): boolean {
  switch (item.kind) {
    case 'reasoning':
      return !folds.thoughts || (isLast && snapshot.state !== 'ended');
    case 'tool_call':
      return !folds.calls || (item.state === 'waiting' && !asked);
    case 'retrieved':
    case 'beside':
      return !folds.passages;
    default:
      return false;
  }
}

function stateOf(item: Item): string {
  return item.kind === 'tool_call' ? item.state : item.kind;
}

/** Carry over to a redrawn entry which folds a person had opened or closed. */
function keepFolds(from: HTMLElement, to: HTMLElement): void {
  const redrawn = Array.from(to.querySelectorAll('details'));
  for (const old of from.querySelectorAll('details')) {
    const now = redrawn.find(details => details.dataset.part === old.dataset.part);
    if (now && String(old.open) !== old.dataset.startsOpen) {
      now.open = old.open;
    }
  }
}
