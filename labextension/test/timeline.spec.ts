// An agent's timeline as it is drawn in cells and in the panel, gone through and acted on.

import { NO_PAST, type IPast, type IPastRun, type IPastStep } from '../src/ui/past';
import { TimelineView } from '../src/ui/timeline';
import { ENGLISH } from '../src/ui/words';
import { hostileStrings } from './hostile';

const WHEN = '2026-03-01T09:00:00Z';

function run(id: string, changes: Partial<IPastRun> = {}): IPastRun {
  return {
    ...{ id, asked: `said ${id}`, created_at: WHEN, status: 'completed', stop_reason: 'end_turn' },
    steps: [step(`${id}s1`, 1), step(`${id}s2`, 2, { tools: [], edited: true })],
    ...{ waits: false, error: null, prompt_tokens: 90, completion_tokens: 10, cost: null, seconds: 1.5, of: '' },
    ...changes
  };
}

function step(id: string, number: number, changes: Partial<IPastStep> = {}): IPastStep {
  return {
    ...{ id, number, model: 'demo', error: null, prompt_tokens: 40, completion_tokens: 5 },
    ...{ cost: null, seconds: 0.5, tools: ['pay'] },
    ...changes
  };
}

let answers: Record<string, (params: any) => unknown>;
let asked: [string, any][];
let view: TimelineView;

beforeEach(() => {
  asked = [];
  answers = {
    'timeline.at': () => ({ html: '<p>It knew <b>Mara</b>.</p><script>bad()</script>' }),
    'timeline.preview': () => ({ runs: 1, blocks: [], changed: [], left: [], outside: [] })
  };
  const ask = async (method: string, params: object): Promise<any> => {
    asked.push([method, params]);
    return answers[method]?.(params) ?? null;
  };
  view = new TimelineView(ask, ENGLISH);
  document.body.replaceChildren(view.node);
  show({ runs: [run('r2'), run('r1')] });
});

const show = (past: Partial<IPast>) => view.update({ ...NO_PAST, ...past });
const items = () => Array.from(view.node.querySelectorAll<HTMLElement>('[role=treeitem]'));
const item = (key: string) => items().find(({ dataset }) => dataset.key === key)!;
const row = (key: string) => item(key).querySelector<HTMLElement>('.lk-Tree-row')!;
const keys = () => items().map(({ dataset }) => dataset.key);
const worded = (text: string) =>
  Array.from(view.node.querySelectorAll('button')).find(one => one.textContent === text)!;
const settle = () => new Promise(resolve => setTimeout(resolve));
const last = () => asked[asked.length - 1];
const press = (key: string) =>
  document.activeElement?.dispatchEvent(
    new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })
  );
const focused = () => (document.activeElement as HTMLElement).dataset.key;

describe('a timeline', () => {
  it('is gone through with the arrow keys, like any tree', () => {
    item('r2').focus();
    press('ArrowDown');
    expect(focused()).toBe('r1');
    press('ArrowRight');
    expect(keys()).toEqual(['r2', 'r1', 'r1s1', 'r1s2']);
    expect(item('r1').getAttribute('aria-expanded')).toBe('true');
    expect(item('r1s1').getAttribute('aria-level')).toBe('2');
    press('ArrowRight');
    expect(focused()).toBe('r1s1');
    press('End');
    expect(focused()).toBe('r1s2');
    press('ArrowLeft');
    expect(focused()).toBe('r1');
    press('ArrowLeft');
    expect(keys()).toEqual(['r2', 'r1']);
    press('Home');
    expect(focused()).toBe('r2');
    expect(items().filter(({ tabIndex }) => tabIndex === 0).map(({ dataset }) => dataset.key)).toEqual(['r2']);
  });

  it('opens a run and shows what can be done with it, and closes it again', () => {
    row('r2').click();
    expect(keys()).toEqual(['r2', 'r2s1', 'r2s2', 'r1']);
    expect(worded('Rewind to here')).toBeTruthy();
    expect(item('r2s2').textContent).toContain('edited');
    row('r2').click();
    expect(keys()).toEqual(['r2', 'r1']);
    expect(worded('Rewind to here')).toBeUndefined();
  });

  it('shows what was known at a step, without what could run', async () => {
    row('r2').click();
    row('r2s1').click();
    worded('Look').click();
    await settle();
    expect(last()).toEqual(['timeline.at', { at: 'r2s1' }]);
    expect(view.node.querySelector('[role=region] b')?.textContent).toBe('Mara');
    expect(view.node.querySelector('script')).toBeNull();
  });

  it('keeps the looks of what is told, fetches nothing for them, and leads on to other steps', async () => {
    const bar = '<div style="width:40%;height:6px;background:#8c5bd6" title="4 tokens"></div>';
    const bad = '<div style="background:url(https://x.test/a.png);position:fixed;border-left:3px solid red"></div>';
    const links = '<a href="#step-7">step-7</a> <a href="javascript:bad()">x</a>';
    answers['timeline.at'] = () => ({ html: bar + bad + links });
    answers.explain = () => ({ html: '<p>It was made of words.</p>' });
    row('r1').click();
    worded('Look').click();
    await settle();
    const told = view.node.querySelector<HTMLElement>('.lk-Told')!;
    const [first, second] = Array.from(told.querySelectorAll<HTMLElement>('.lk-Rich > div'));
    expect([first.style.width, first.style.height, first.title]).toEqual(['40%', '6px', '4 tokens']);
    expect([second.style.background, second.style.position]).toEqual(['', '']);
    expect(told.innerHTML).not.toContain('javascript:');
    told.querySelector<HTMLElement>('a[href="#step-7"]')?.click();
    await settle();
    expect(last()).toEqual(['explain', { at: 'step-7' }]);
    expect(told.textContent).toBe('It was made of words.');
  });

  it('rewinds only after it was said what stays done', async () => {
    const would = { runs: 1, blocks: ['human'], changed: [], left: [], outside: ['pay(euros=4)'] };
    answers['timeline.preview'] = () => would;
    row('r1').click();
    worded('Rewind to here').click();
    await settle();
    expect(view.node.textContent).toContain('pay(euros=4)');
    expect(asked.map(([method]) => method)).not.toContain('timeline.rewind');
    expect(document.activeElement?.textContent).toBe('Rewind');
    worded('Cancel').click();
    expect(view.node.textContent).not.toContain('pay(euros=4)');
    expect(focused()).toBe('r1');
    worded('Rewind to here').click();
    await settle();
    worded('Rewind').click();
    await settle();
    expect(last()).toEqual(['timeline.rewind', { to: 'r1' }]);
    expect(view.node.querySelector('[role=status]')?.textContent).toContain('Rewound');
    show({ runs: [run('r3')] });
    expect(view.node.querySelector('[role=status]')?.textContent).toBe('');
  });

  it('asks for the name of a fork, and says why there is none', async () => {
    row('r1').click();
    worded('Fork from here').click();
    const field = view.node.querySelector<HTMLInputElement>('input')!;
    field.value = ' bob ';
    answers['timeline.fork'] = () => {
      throw new Error('There is a bob already.');
    };
    worded('Fork').click();
    await settle();
    expect(last()).toEqual(['timeline.fork', { name: 'bob', at: 'r1' }]);
    expect(view.node.querySelector('[role=alert]')?.textContent).toBe('There is a bob already.');
    expect(field.isConnected).toBe(true);
    answers['timeline.fork'] = () => ({});
    worded('Fork').click();
    await settle();
    expect(field.isConnected).toBe(false);
  });

  it('shows what parts from the line where it does, to look at and to return to', async () => {
    const branch = { id: 'b1', agent: '', created_at: WHEN, reason: 'rewind', after: 'r1', messages: 4 };
    answers['timeline.diff'] = () => ({ html: 'as before' });
    show({ runs: [run('r2'), run('r1')], branches: [branch, { ...branch, id: 'f1', agent: 'bob' }] });
    expect(keys()).toEqual(['r2', 'b1', 'f1', 'r1']);
    expect(item('b1').textContent).toContain('4 messages');
    row('b1').click();
    worded('What differs').click();
    expect(last()).toEqual(['timeline.diff', { other: 'b1' }]);
    worded('Return to this end').click();
    await settle();
    expect(last()).toEqual(['timeline.rewind', { to: 'b1' }]);
    row('f1').click();
    expect(worded('Return to this end')).toBeUndefined();
    expect(item('f1').textContent).toContain('Fork: bob');
  });

  it('reads older pages on demand, and keeps them when a run is added', async () => {
    show({ runs: [run('r2'), run('r1')], more: true });
    answers.timeline = () => ({ ...NO_PAST, runs: [run('r0')] });
    worded('Show older').click();
    await settle();
    expect(last()).toEqual(['timeline', { before: 'r1' }]);
    expect(keys()).toEqual(['r2', 'r1', 'r0']);
    expect(worded('Show older').hidden).toBe(true);
    const kept = item('r1');
    show({ runs: [run('r3'), run('r2'), run('r1')], more: true });
    expect(keys()).toEqual(['r3', 'r2', 'r1', 'r0']);
    expect(item('r1')).toBe(kept);
    show({ runs: [run('r9')], more: true });
    expect(keys()).toEqual(['r9']);
  });

  it('undoes and redoes what there is', async () => {
    show({});
    expect([worded('Undo').disabled, worded('Redo').disabled]).toEqual([true, true]);
    const branch = { id: 'b1', agent: '', created_at: WHEN, reason: 'undo', after: '', messages: 4 };
    show({ runs: [run('r1')], branches: [branch] });
    expect(worded('Redo').disabled).toBe(false);
    worded('Undo').click();
    await settle();
    expect(last()).toEqual(['timeline.undo', {}]);
  });

  it.each(hostileStrings())('shows what anybody wrote as text: %s', (_, text) => {
    const all = text.slice(0, 500);
    show({ runs: [run('r1', { asked: all, error: all, of: all })], origin: all });
    expect(view.node.querySelectorAll('script, img, iframe, a, style')).toHaveLength(0);
  });
});
