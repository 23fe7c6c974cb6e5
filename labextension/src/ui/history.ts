// The versions of a memory block, newest first, and what changed between any two of them.

import { button } from './ask';
import { lengthOf, writerOf, type IBlockHost, type IBlockVersion } from './blocks';
import { h, named } from './dom';
import { drawDiff } from './entries';
import { grouped, locale, oneLine, messageOf } from './words';

export class History {
  constructor(
    private _memory: IBlockHost,
    private _label: string
  ) {}

  readonly node = h('div', 'lk-History');

  /** Read the versions and show them. */
  async read(): Promise<void> {
    const turn = ++this._turn;
    try {
      const versions = await this._memory.ask<IBlockVersion[]>('block.versions', { label: this._label });
      if (turn === this._turn) {
        this._draw(versions);
      }
    } catch (error) {
      const said = messageOf(error);
      this.node.replaceChildren(h('div', 'lk-Wrong', said));
    }
  }

  private _draw(versions: IBlockVersion[]): void {
    const { trans } = this._memory;
    const by = (one: IBlockVersion) => writerOf(one, trans);
    const choices = (label: string) => {
      const node = h('select', 'lk-Field');
      node.setAttribute('aria-label', label);
      for (const one of versions) {
        node.append(new Option(`v${one.version} · ${moment(one.created_at)} · ${by(one)}`, String(one.version)));
      }
      return node;
    };
    const from = choices(trans.__('From version'));
    from.append(new Option(trans.__('nothing'), '0'));
    const to = choices(trans.__('To version'));
    const changed = h('div', '');
    named(changed, 'region', trans.__('What changed'));
    changed.tabIndex = 0;
    const valueOf = (choice: HTMLSelectElement) =>
      versions.find(({ version }) => String(version) === choice.value)?.value ?? '';
    const compare = () => {
      const lines = drawDiff(valueOf(from), valueOf(to), trans);
      const same = h('span', 'lk-muted lk-small', trans.__('The two are the same.'));
      changed.replaceChildren(...(valueOf(from) === valueOf(to) ? [same] : lines));
    };
    from.addEventListener('change', compare);
    to.addEventListener('change', compare);
    const pick = (place: number) => {
      to.selectedIndex = place;
      from.selectedIndex = place + 1;
      compare();
    };
    const rows = versions.map((one, place) => {
      const size = lengthOf(one.value);
      const facts = [
        moment(one.created_at),
        by(one),
        one.reason,
        one.after && trans.__('after “%1”', oneLine(one.after, 60)),
        trans._n('%2 character', '%2 characters', size, grouped(size))
      ];
      const row = button('', 'lk-Version', () => pick(place));
      const said = ` ${facts.filter(Boolean).join(' · ')}`;
      row.append(h('b', '', `v${one.version}`), h('span', 'lk-muted lk-small', said));
      return row;
    });
    const between = h(
      'div',
      'lk-Buttons lk-small',
      ...[trans.__('From'), from, trans.__('to'), to]
    );
    this.node.replaceChildren(h('div', 'lk-Versions', ...rows), between, changed);
    pick(0);
  }

  private _turn = 0;
}

/** A moment, short. */
export function moment(iso: string): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime())
    ? ''
    : date.toLocaleString(locale(), { dateStyle: 'medium', timeStyle: 'short' });
}

/** A moment as short as is clear: of today the time, else the day. */
export function shortMoment(iso: string): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime())
    ? ''
    : date.toDateString() === new Date().toDateString()
      ? date.toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit' })
      : date.toLocaleDateString(locale(), { year: 'numeric', month: 'short', day: 'numeric' });
}
