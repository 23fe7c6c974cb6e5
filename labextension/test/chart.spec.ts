// Plots as the panel draws them: what is drawn has its figures, keys go through them, a table has them all.

import type { INode } from '../src/ui/branches';
import { ChartView, type IChart, type IPane, type ISeries } from '../src/ui/chart';
import { ENGLISH } from '../src/ui/words';
import { hostileStrings } from './hostile';

function series(name: string, values: (number | null)[], more: Partial<ISeries> = {}): ISeries {
  return { name, values, most: null, changed: [], hue: 0, ...more };
}

function pane(form: IPane['form'], unit: string, ...all: ISeries[]): IPane {
  return { form, unit, series: all, limit: null, limit_name: '', over: null };
}

function chart(changes: Partial<IChart>): IChart {
  const places = [0, 1, 1.5, 2].map(at => ({
    ...{ at, name: at ? `step ${at}` : 'before', about: at === 2 ? 'Hello' : '' },
    ...{ ref: '', weak: false }
  }));
  return {
    ...{ kind: 'memory', title: 'Memory of ada', places, panes: [], marks: [], nodes: [] },
    ...{ summary: 'Much is known.', notes: ['Of one step nothing is known.'] },
    ...changes
  };
}

let view: ChartView;

beforeEach(() => {
  view = new ChartView(ENGLISH);
  document.body.replaceChildren(view.node);
});

const slider = () => view.node.querySelector<HTMLElement>('[role=slider]')!;
const said = () => slider().getAttribute('aria-valuetext');
const press = (key: string) =>
  slider().dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));

describe('ChartView', () => {
  it('is gone through by keys', () => {
    const human = series('human', [null, 4, 4, 9], { most: 20000, changed: [1, 3] });
    view.update(chart({ panes: [pane('stairs', 'characters', human)] }));
    expect(said()).toBe('Step 2 human 9 “Hello”');
    press('ArrowLeft');
    expect(said()).toBe('After step 1 human 4');
    press('Home');
    expect(said()).toBe('Before ');
    press('ArrowLeft');
    expect(slider().getAttribute('aria-valuenow')).toBe('1');
    press('ArrowRight');
    expect(said()).toBe('Step 1 human 4');
    expect(view.node.querySelector('.lk-Chart-legend')?.textContent).toContain('human of 20,000');
    expect(view.node.querySelector('figcaption')?.textContent).toContain('Of one step nothing');
    // Two versions begin at dots.
    expect(view.node.querySelector('.lk-Chart-dots')?.getAttribute('d')?.match(/M/g)).toHaveLength(2);
  });

  it('keeps the place and the focus when it is drawn anew', () => {
    const drawn = () => chart({ panes: [pane('bars', 'tokens', series('read', [1, 2, 3, 4]))] });
    view.update(drawn());
    slider().focus();
    press('Home');
    press('ArrowRight');
    view.update(drawn());
    expect(said()).toBe('Step 1 read 2');
    expect(document.activeElement).toBe(slider());
    press('End');
    const more = drawn();
    more.places.push({ ...more.places[3], at: 3 });
    more.panes[0].series[0].values.push(7);
    view.update(more);
    expect(said()).toContain('Step 3 read 7'); // whoever looks at the last sees the new one
  });

  it('stacks what is stacked, and names a limit that is far above', () => {
    const river = pane('river', 'tokens', series('tools', [1, 1, 1, 1]), series('files', [1, 1, 1, 3], { hue: 1 }));
    river.limit = 128000;
    river.limit_name = 'the window';
    river.over = series('counted by the provider', [2, 2, 2, 2]);
    const marks: IChart['marks'] = [{ at: 1.5, kind: 'compaction', name: 'compacted' }];
    view.update(chart({ panes: [river], marks }));
    expect(view.node.querySelectorAll('svg > .lk-plot-0, svg > .lk-plot-1')).toHaveLength(2);
    expect(view.node.textContent).toContain('4 tokens');
    expect(view.node.textContent).toContain('the window: 128,000, far above');
    expect(view.node.querySelector('.lk-Chart-limit')).toBeNull();
    expect(said()).toContain('compacted');
    river.limit = 5;
    view.update(chart({ panes: [river] }));
    expect(view.node.querySelector('.lk-Chart-limit')).not.toBeNull();
  });

  it('has a table', () => {
    const spent = pane('line', 'US dollars', series('cost so far', [null, 0.5, 0.5, 1]));
    view.update(chart({ panes: [pane('bars', 'tokens', series('read', [0, 1000, 2, 3])), spent] }));
    const details = view.node.querySelector('details')!;
    details.open = true;
    details.dispatchEvent(new Event('toggle'));
    const rows = Array.from(details.querySelectorAll('tr'), row => row.textContent);
    expect(rows).toEqual(['readcost so far', 'Before0–', 'Step 11,000$0.50', 'After step 12$0.50', 'Step 23$1.00']);
  });

  it('says why passages rank as they do', () => {
    const places = ['blue', 'cold'].map((about, index) => ({
      ...{ at: index + 1, name: `${index + 1}`, about, ref: '', weak: index === 1 }
    }));
    const dots = pane('dots', 'relevance', series('relevance', [0.9, 0.1]));
    dots.limit = 0.4;
    const rank = pane('rows', 'rank', series('words', [1, 0]), series('question', [0, -0.25], { hue: 5 }));
    view.update(chart({ kind: 'retrieval', places, panes: [rank, dots] }));
    const rows = Array.from(view.node.querySelectorAll('ol > li'), row => row.textContent);
    expect(rows).toEqual([
      'blueRelevance 0.90 · rank 1.00: words 1.00',
      'coldRelevance 0.10: too little to be shown · rank -0.25: question -0.25'
    ]);
    const bars = Array.from(view.node.querySelectorAll('rect.lk-plot-5'), bar => bar.getAttribute('x'));
    expect(bars.map(Number)).toEqual([0]); // what takes from a rank goes to the left of its line
  });

  it('draws branches in lanes, newest first', () => {
    const node = { kind: 'run' as const, lane: 0, parent: null, name: '1 step', about: 'Hi', ref: 'run-1' };
    const rest = { moment: null, failed: false };
    const nodes: INode[] = [
      { ...node, ...rest },
      { ...node, ...rest, kind: 'fork', lane: 1, parent: 0, name: 'fork bold', about: '' },
      { ...node, ...rest, kind: 'end', lane: 2, parent: null, name: 'undo', about: 'Oh' },
      { ...node, ...rest, parent: 0, failed: true }
    ];
    view.update(chart({ kind: 'branches', places: [], nodes }));
    const rows = Array.from(view.node.querySelectorAll('ol > li'), row => row.textContent);
    expect(rows).toEqual(['Hi 1 step · failed', 'Oh undo', 'fork bold', 'Hi 1 step']);
    expect(view.node.querySelectorAll('.lk-Chart-edge-run')).toHaveLength(2);
    expect(view.node.querySelectorAll('.lk-Chart-edge-end')).toHaveLength(1);
  });

  it.each(hostileStrings())('takes %s for text', (_, text) => {
    const named = series(text, [1, 2, 3, 4], { most: 5 });
    view.update(chart({ title: text, summary: text, notes: [text], panes: [pane('stairs', text, named)] }));
    expect(view.node.querySelector('script, img, iframe')).toBeNull();
    expect(slider().getAttribute('aria-label')).toBe(text);
  });
});
