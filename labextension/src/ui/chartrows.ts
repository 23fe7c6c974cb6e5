// Why passages rank as they do: for each a bar of what its rank is made of, and how relevant it is.

import type { IChart, ISeries } from './chart';
import { svg } from './chartsvg';
import { partWord } from './chartwords';
import { h } from './dom';
import { decimal, type Trans } from './words';

const WIDE = 1000;
const LEAST = 0.005; // of a rank: what is less is no part that anybody sees

/** Draw ranks and relevance as a list, best rank first. */
export function drawRows({ places, panes, title }: IChart, trans: Trans): HTMLElement {
  const { series } = panes[0];
  const relevance = panes[1].series[0];
  const limit = panes[1].limit ?? 0;
  const sums = places.map((_, index) => {
    const values = series.map(one => one.values[index] ?? 0);
    const sum = (sign: number) => values.reduce((all, one) => all + (one * sign > 0 ? one : 0), 0);
    return { above: sum(1), below: sum(-1) };
  });
  const high = Math.max(...sums.map(({ above }) => above), 0.01);
  const low = Math.min(...sums.map(({ below }) => below), 0);
  const x = (value: number) => ((value - low) / (high - low)) * WIDE;
  const list = h('ol', 'lk-List lk-Chart-rows');
  list.setAttribute('aria-label', title);
  places.forEach((place, index) => {
    const relevant = relevance.values[index] ?? 0;
    const parts = series.filter(({ values }) => Math.abs(values[index] ?? 0) >= LEAST);
    const word = place.weak
      ? trans.__('Relevance %1: too little to be shown', decimal(relevant, 2))
      : trans.__('Relevance %1', decimal(relevant, 2));
    const made = parts.map(one => `${partWord(one.name, trans)} ${decimal(one.values[index] ?? 0, 2)}`);
    const rank = sums[index].above + sums[index].below;
    const about = h('div', '', place.about);
    about.dir = 'auto';
    list.append(
      h(
        'li',
        place.weak ? 'lk-mod-weak' : '',
        about,
        stack(series, index, x),
        share(relevant, limit),
        h('div', 'lk-muted lk-Small', word, ` · ${trans.__('rank %1', decimal(rank, 2))}: ${made.join(', ')}`)
      )
    );
  });
  const legend = h('ul', 'lk-Chart-legend lk-Small');
  for (const { name, hue } of series) {
    legend.append(h('li', '', h('span', `lk-Swatch lk-plot-${hue}`), ` ${partWord(name, trans)}`));
  }
  const edge = trans.__('relevant from %1 on', decimal(limit, 2));
  legend.append(h('li', '', h('span', 'lk-Swatch lk-Chart-edge'), ` ${edge}`));
  return h('div', '', legend, list);
}

function drawing(height: number): SVGElement {
  return svg('svg', {
    viewBox: `0 0 ${WIDE} ${height}`,
    preserveAspectRatio: 'none',
    height: `${height}`,
    'aria-hidden': 'true'
  });
}

/** What a rank is made of; what takes from it goes to the left of the line. */
function stack(series: ISeries[], index: number, x: (value: number) => number): SVGElement {
  const drawn = drawing(10);
  let [above, below] = [0, 0];
  for (const { values, hue } of series) {
    const value = values[index] ?? 0;
    if (!value) {
      continue;
    }
    const from = value < 0 ? (below += value) : above;
    above += Math.max(value, 0);
    const box = { x: `${x(from)}`, width: `${x(from + Math.abs(value)) - x(from)}` };
    drawn.append(svg('rect', { ...box, y: '0', height: '10', class: `lk-plot-${hue}` }));
  }
  drawn.append(svg('path', { d: `M${x(0)} 0 V10`, class: 'lk-Chart-cursor' }));
  return drawn;
}

/** Relevance from 0 to 1, and where it begins to count. */
function share(relevance: number, limit: number): SVGElement {
  const drawn = drawing(5);
  const bar = { x: '0', y: '1', height: '3', width: `${relevance * WIDE}`, class: 'lk-Chart-relevance' };
  const edge = { d: `M${limit * WIDE} 0 V5`, class: 'lk-Chart-edge' };
  drawn.append(svg('rect', bar), svg('path', edge));
  return drawn;
}
