// Plots of an agent, drawn from the figures that the kernel computes (`letta_kernel/service/plots`).
//
// What is drawn is stretched to the width there is; texts beside it are HTML, so that they stay as they are. Arrow
// keys and the pointer go from place to place, whose figures stand below; a table has them all.

import { drawGraph, type INode } from './branches';
import { svg, mark } from './chartsvg';
import { drawRows } from './chartrows';
import { partWord } from './chartwords';
import { h, type Child } from './dom';
import { decimal, grouped, money, oneLine, type Trans } from './words';

export interface IPlace {
  at: number;
  name: string;
  about: string;
  ref: string;
  weak: boolean;
}

export interface ISeries {
  name: string;
  values: (number | null)[];
  /** What it may be, if that is bounded. */
  most: number | null;
  changed: number[];
  hue: number;
}

export interface IPane {
  form: 'bars' | 'river' | 'stairs' | 'line' | 'rows' | 'dots';
  unit: string;
  series: ISeries[];
  limit: number | null;
  limit_name: string;
  over: ISeries | null;
}

export interface IChart {
  kind: string;
  title: string;
  places: IPlace[];
  panes: IPane[];
  marks: { at: number; kind: 'run' | 'compaction'; name: string }[];
  nodes: INode[];
  summary: string;
  notes: string[];
}

/** What is drawn is so wide and high, in units of its own. */
const WIDE = 1000;
const HIGH = 100;
/** The share of a limit from which on it is drawn. */
const SEEN = 0.4;
const MOST_RUNS = 40;
const HUES = 9;
const SCALE = 'lk-Chart-scale lk-muted lk-Small';
const DOLLARS = 'US dollars'; // as the kernel calls that unit

/** A plot: its panes, what the colours are, the figures of one place, and all of them as a table. */
export class ChartView {
  constructor(private _trans: Trans) {}

  readonly node = h('figure', 'lk-Chart');

  /** Draw a plot, or draw it anew: the place a person looks at stays, and so does the focus. */
  update(chart: IChart): void {
    const { _trans: trans, _panes: before } = this;
    const focused = before?.node.contains(document.activeElement) ?? false;
    const read = this.node.querySelector('details')?.open ?? false;
    const parts: HTMLElement[] = [];
    this._panes = null;
    if (chart.nodes.length) {
      parts.push(drawGraph(chart.nodes, trans));
    } else if (chart.panes.some(({ form }) => form === 'rows')) {
      parts.push(drawRows(chart, trans));
    } else {
      this._panes = new Panes(chart, trans, before?.looked ?? null);
      parts.push(this._panes.node, table(chart, trans, read));
    }
    const notes = chart.notes.map(note => h('p', 'lk-muted lk-Small', note));
    const caption = h('figcaption', '', h('p', 'lk-muted lk-Small', chart.summary), ...notes);
    this.node.replaceChildren(...parts, caption);
    if (focused) {
      this._panes?.focus();
    }
  }

  private _panes: Panes | null = null;
}

/** Panes one above the other, over the same places. */
class Panes {
  constructor(
    private _chart: IChart,
    private _trans: Trans,
    looked: number | null
  ) {
    const { places, panes, title } = _chart;
    const [first, last] = [places[0].at, places[places.length - 1].at];
    this._from = Math.min(first, 1) - 0.5;
    this._to = Math.max(last, 6) + 0.5;
    for (const pane of panes) {
      this._draw(pane);
    }
    const ends = [places[0], places[places.length - 1]].map(one => h('span', '', placeWord(one, _trans)));
    this._slider = h('div', 'lk-Chart-panes', ...this._parts, h('div', `${SCALE} lk-mod-x`, ...ends));
    this._slider.tabIndex = 0;
    const about = { role: 'slider', 'aria-label': title, 'aria-valuemin': '1' };
    mark(this._slider, { ...about, 'aria-valuemax': String(places.length) });
    this._slider.addEventListener('keydown', event => this._press(event));
    this._slider.addEventListener('pointermove', event => this._point(event));
    this.node.append(this._slider, this._said, legend(panes, _trans));
    const there = places.findIndex(({ at }) => at === looked);
    this._go(there < 0 ? places.length - 1 : there);
  }

  readonly node = h('div', '');

  /** The place a person looks at; null: the last, whichever that is. */
  get looked(): number | null {
    const { places } = this._chart;
    return this._at < places.length - 1 ? places[this._at].at : null;
  }

  focus(): void {
    this._slider.focus();
  }

  private _draw(pane: IPane): void {
    const { places, marks } = this._chart;
    const most = mostOf(pane);
    const top = most * 1.02;
    const y = (value: number) => HIGH - (value / top) * HIGH;
    const drawn = svg('svg', {
      viewBox: `0 0 ${WIDE} ${HIGH}`,
      preserveAspectRatio: 'none',
      'aria-hidden': 'true'
    });
    const line = (from: [number, number], to: [number, number], className: string) =>
      svg('path', { d: `M${from} L${to}`, class: className });
    drawn.append(line([0, HIGH / 2], [WIDE, HIGH / 2], 'lk-Chart-grid'));
    const stacked = pane.form === 'bars' || pane.form === 'river';
    if (stacked) {
      const below = places.map(() => 0);
      const wide = pane.form === 'bars' ? 0.42 : 0.5;
      for (const one of pane.series) {
        const boxes = places.map((place, index) => {
          const value = one.values[index] ?? 0;
          const [low, high] = [below[index], (below[index] += value)];
          const [left, right] = [this._x(place.at - wide), this._x(place.at + wide)];
          return value ? `M${left} ${y(low)} H${right} V${y(high)} H${left} Z` : '';
        });
        drawn.append(svg('path', { d: boxes.join(''), class: hue(one) }));
      }
    }
    for (const one of stacked ? (pane.over ? [pane.over] : []) : pane.series) {
      drawn.append(...this._curve(one, y, pane.form === 'stairs', one === pane.over));
      if (one.most && Math.max(...numbers(one)) >= SEEN * one.most) {
        drawn.append(line([0, y(one.most)], [WIDE, y(one.most)], `lk-Chart-limit ${hue(one)}`));
      }
    }
    if (pane.limit && pane.limit <= top) {
      drawn.append(line([0, y(pane.limit)], [WIDE, y(pane.limit)], 'lk-Chart-limit'));
    }
    const runs = marks.filter(({ kind }) => kind === 'run').length;
    for (const { at, kind } of marks) {
      if (kind !== 'run' || (runs > 1 && runs <= MOST_RUNS)) {
        drawn.append(line([this._x(at), 0], [this._x(at), HIGH], `lk-Chart-${kind}`));
      }
    }
    const cursor = line([0, 0], [0, HIGH], 'lk-Chart-cursor');
    drawn.append(cursor);
    this._cursors.push(cursor);
    const unit = pane.unit === DOLLARS ? '' : ` ${partWord(pane.unit, this._trans)}`;
    this._parts.push(
      h('div', SCALE, h('span', '', figure(most, pane.unit) + unit), h('span', '', limitWord(pane, top, this._trans))),
      h('div', `lk-Chart-pane lk-mod-${pane.form === 'line' ? 'low' : 'high'}`, drawn)
    );
  }

  private _curve(
    one: ISeries,
    y: (value: number) => number,
    stairs: boolean,
    over: boolean
  ): SVGElement[] {
    const { places } = this._chart;
    let path = '';
    let dots = '';
    one.values.forEach((value, index) => {
      if (value === null) {
        return;
      }
      const [x, high] = [this._x(places[index].at), y(value)];
      path += path ? (stairs ? `H${x} V${high}` : `L${x} ${high}`) : `M${x} ${high}`;
      if (!stairs || one.changed.includes(index)) {
        dots += `M${x} ${high} h0.01`;
      }
    });
    const again = one.hue >= HUES ? ' lk-mod-again' : ''; // one of that colour is there already
    const look = over ? 'lk-Chart-over' : hue(one) + again;
    return [
      svg('path', { d: path, class: `lk-Chart-curve ${look}` }),
      svg('path', { d: dots, class: `lk-Chart-dots ${look}` })
    ];
  }

  private _x(at: number): number {
    return Math.round(((at - this._from) / (this._to - this._from)) * WIDE * 10) / 10;
  }

  private _press(event: KeyboardEvent): void {
    const last = this._chart.places.length - 1;
    const steps: Record<string, number> = {
      ...{ ArrowLeft: this._at - 1, ArrowDown: this._at - 1, Home: 0 },
      ...{ ArrowRight: this._at + 1, ArrowUp: this._at + 1, End: last },
      ...{ PageDown: this._at - 10, PageUp: this._at + 10 }
    };
    if (event.key in steps && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      this._go(Math.min(Math.max(steps[event.key], 0), last));
    }
  }

  private _point(event: PointerEvent): void {
    const { left, width } = this._slider.getBoundingClientRect();
    const at = this._from + ((event.clientX - left) / (width || 1)) * (this._to - this._from);
    const away = (index: number) => Math.abs(this._chart.places[index].at - at);
    let near = 0;
    this._chart.places.forEach((_, index) => {
      near = away(index) < away(near) ? index : near;
    });
    this._go(near);
  }

  /** Show the figures of a place. */
  private _go(index: number): void {
    this._at = index;
    const { places, panes, marks } = this._chart;
    const place = places[index];
    const x = this._x(place.at);
    this._cursors.forEach(cursor => cursor.setAttribute('d', `M${x} 0 V${HIGH}`));
    const figures = panes.flatMap(pane =>
      [...pane.series, ...(pane.over ? [pane.over] : [])]
        .filter(({ values }) => values[index] !== null && (values[index] !== 0 || pane.form === 'stairs'))
        .map(one => `${partWord(one.name, this._trans)} ${figure(one.values[index] ?? 0, pane.unit)}`)
    );
    const happened = marks.filter(({ at, kind }) => kind === 'compaction' && Math.abs(at - place.at) <= 0.5);
    const said = [...happened.map(({ name }) => partWord(name, this._trans)), ...figures].join(' · ');
    this._said.replaceChildren(
      h('b', '', placeWord(place, this._trans)),
      ` ${said}`,
      h('span', 'lk-muted', place.about && ` “${oneLine(place.about, 80)}”`)
    );
    mark(this._slider, {
      'aria-valuenow': String(index + 1),
      'aria-valuetext': this._said.textContent ?? ''
    });
  }

  private _at = 0;
  private readonly _from: number;
  private readonly _to: number;
  private readonly _slider: HTMLElement;
  private readonly _parts: HTMLElement[] = [];
  private readonly _cursors: SVGElement[] = [];
  private readonly _said = h('p', 'lk-Chart-said lk-Small');
}

function numbers({ values }: ISeries): number[] {
  return values.map(value => value ?? 0);
}

function hue({ hue: number }: ISeries): string {
  return `lk-plot-${number % HUES}`;
}

/** The highest value of a pane, or its limit where that is drawn. */
function mostOf(pane: IPane): number {
  const { series, form, limit, over } = pane;
  let tops: number[];
  if (form === 'bars' || form === 'river') {
    const counts = series[0]?.values.map((_, index) =>
      series.reduce((sum, { values }) => sum + (values[index] ?? 0), 0)
    );
    tops = [...(counts ?? []), ...(over ? numbers(over) : [])];
  } else {
    tops = series.flatMap(one => {
      const top = Math.max(0, ...numbers(one));
      return one.most && top >= SEEN * one.most ? [top, one.most] : [top];
    });
  }
  const most = Math.max(0, ...tops);
  return (limit && most >= SEEN * limit ? Math.max(most, limit) : most) || 1;
}

/** What the limit of a pane is. */
function limitWord({ limit, limit_name }: IPane, top: number, trans: Trans): string {
  if (!limit) {
    return '';
  }
  const name = partWord(limit_name, trans);
  return limit <= top
    ? trans.__('%1: %2', name, grouped(limit))
    : trans.__('%1: %2, far above', name, grouped(limit));
}

function legend(panes: IPane[], trans: Trans): HTMLElement {
  const entry = (look: string, name: string, more: Child) =>
    h('li', '', h('span', `lk-Swatch ${look}`), ' ', partWord(name, trans), more);
  const list = h('ul', 'lk-Chart-legend lk-Small');
  for (const { series, over } of panes) {
    for (const one of series) {
      const most = one.most && h('span', 'lk-muted', ' ', trans.__('of %1', grouped(one.most)));
      list.append(entry(hue(one), one.name, most || null));
    }
    if (over) {
      list.append(entry('lk-Chart-over', over.name, null));
    }
  }
  return list;
}

/** All figures, for those who would rather read. */
function table(chart: IChart, trans: Trans, open: boolean): HTMLElement {
  const series = chart.panes.flatMap(pane =>
    [...pane.series, ...(pane.over ? [pane.over] : [])].map(one => ({ one, pane }))
  );
  const made = h('details', 'lk-Fold', h('summary', 'lk-Small', trans.__('As a table')));
  const fill = () => {
    if (made.children.length > 1) {
      return;
    }
    const head = (text: string, scope: string) => {
      const cell = h('th', '', text);
      cell.scope = scope;
      return cell;
    };
    const heads = series.map(({ one }) => head(partWord(one.name, trans), 'col'));
    const rows = chart.places.map((place, index) =>
      h(
        'tr',
        '',
        head(placeWord(place, trans), 'row'),
        ...series.map(({ one, pane }) => {
          const value = one.values[index];
          return h('td', '', value === null ? '–' : figure(value, pane.unit));
        })
      )
    );
    const rest = h('table', '', h('thead', '', h('tr', '', h('td', ''), ...heads)), h('tbody', '', ...rows));
    const scrolled = h('div', 'lk-Chart-table', rest);
    scrolled.tabIndex = 0;
    mark(scrolled, { role: 'group', 'aria-label': chart.title });
    made.append(scrolled);
  };
  made.addEventListener('toggle', fill);
  if ((made.open = open)) {
    fill();
  }
  return made;
}

function placeWord({ at, name }: IPlace, trans: Trans): string {
  if (Number.isInteger(at) && at > 0) {
    return trans.__('Step %1', at);
  }
  return at > 0 ? trans.__('After step %1', Math.floor(at)) : partWord(name, trans);
}

/** A figure in its unit. */
function figure(value: number, unit: string): string {
  if (unit === DOLLARS) {
    return money(value) || '$0';
  }
  return Number.isInteger(value) || value >= 10 ? grouped(Math.round(value)) : decimal(value, 2);
}
