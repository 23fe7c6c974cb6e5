// Lets a table that is already on the page be filtered and sorted in place.

import { h } from './ui/dom';
import { isRecord } from './ui/snapshot';
import type { Trans } from './ui/words';

/** For a column's place: what its rows sort by, where that is not their text (times, durations, money). */
export type Keys = Record<string, (number | null)[]>;

/** With fewer rows there is nothing to look for. */
const ENOUGH_TO_FILTER = 5;

/** Read the sort keys of an output's tables, whatever a file holds. */
export function readKeys(tables: unknown): Keys[] {
  if (!Array.isArray(tables)) {
    return [];
  }
  return tables.map(table => {
    const keys: Keys = {};
    for (const [column, values] of Object.entries(isRecord(table) ? table : {})) {
      if (Array.isArray(values)) {
        keys[column] = values.map(value => (typeof value === 'number' ? value : null));
      }
    }
    return keys;
  });
}

/** The buttons in a table's head, and the filter above it. */
export class TableTools {
  /** Give `table` its tools, if it has a head, rows, and not already some. */
  static add(table: HTMLTableElement, keys: Keys, trans: Trans): void {
    const heads = Array.from(table.tHead?.rows[0]?.cells ?? []);
    const rows = Array.from(table.tBodies[0]?.rows ?? []);
    if (heads.length > 0 && rows.length > 1 && !table.classList.contains('lk-Table')) {
      new TableTools(table, heads, rows, keys, trans);
    }
  }

  private constructor(
    table: HTMLTableElement,
    heads: HTMLTableCellElement[],
    rows: HTMLTableRowElement[],
    keys: Keys,
    trans: Trans
  ) {
    this._rows = rows;
    this._heads = heads;
    this._body = table.tBodies[0];
    this._keys = keys;
    this._trans = trans;
    this._texts = rows.map(row => (row.textContent ?? '').toLocaleLowerCase());
    table.classList.add('lk-Table');
    heads.forEach((head, column) => {
      const name = head.textContent ?? '';
      const sort = h('button', 'lk-Table-sort', name);
      sort.type = 'button';
      sort.title = trans.__('Sort by %1', name);
      sort.addEventListener('click', () => this._sort(column));
      head.replaceChildren(sort);
      head.dataset.lmSuppressShortcuts = 'true';
    });
    if (rows.length >= ENOUGH_TO_FILTER) {
      table.before(this._filterBar());
    }
  }

  private _filterBar(): HTMLElement {
    const label = this._trans.__('Filter %1 rows', this._rows.length);
    const field = h('input', 'lk-Table-filter');
    field.type = 'search';
    field.placeholder = label;
    field.setAttribute('aria-label', label);
    field.addEventListener('input', () => this._filter(field.value));
    this._said.setAttribute('role', 'status');
    const bar = h('div', 'lk-Table-bar', field, this._said);
    bar.dataset.lmSuppressShortcuts = 'true';
    return bar;
  }

  /** Show the rows that hold every word. */
  private _filter(text: string): void {
    const words = text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    this._rows.forEach((row, place) => {
      const found = words.every(word => this._texts[place].includes(word));
      row.hidden = !found;
      left += found ? 1 : 0;
    });
    const said = this._trans.__('%1 of %2', left, this._rows.length);
    this._said.textContent = words.length > 0 ? said : '';
  }

  /** Sort up, then down, then as it came. Rows that say nothing in the column come last. */
  private _sort(column: number): void {
    const turn = this._column === column ? (this._turn + 1) % 3 : 1;
    this._column = column;
    this._turn = turn;
    this._heads.forEach((head, place) => {
      if (place === column && turn > 0) {
        head.setAttribute('aria-sort', turn === 1 ? 'ascending' : 'descending');
      } else {
        head.removeAttribute('aria-sort');
      }
    });
    const order = this._rows.map((_, place) => place);
    if (turn > 0) {
      const sign = turn === 1 ? 1 : -1;
      order.sort((a, b) => this._compare(column, a, b, sign) || a - b);
    }
    this._body.append(...order.map(place => this._rows[place]));
  }

  private _compare(column: number, a: number, b: number, sign: number): number {
    const keys = this._keys[column];
    if (keys) {
      const [x, y] = [keys[a] ?? null, keys[b] ?? null];
      return x === null || y === null ? Number(x === null) - Number(y === null) : sign * (x - y);
    }
    const text = (place: number) => (this._rows[place].cells[column]?.textContent ?? '').trim();
    const [x, y] = [text(a), text(b)];
    if (!x || !y) {
      return Number(!x) - Number(!y);
    }
    return sign * x.localeCompare(y, undefined, { numeric: true, sensitivity: 'base' });
  }

  private _rows: HTMLTableRowElement[];
  private _heads: HTMLTableCellElement[];
  private _body: HTMLTableSectionElement;
  private _keys: Keys;
  private _trans: Trans;
  private _texts: string[];
  private _said = h('span', 'lk-Table-said');
  private _column = -1;
  private _turn = 0;
}
