// A run as it is watched: its events, what the person is asked.

import { hostsWith } from '../src/ui/entries';
import { Followed, type IEvents } from '../src/ui/followed';
import { LiveRun, type Answer } from '../src/ui/live';
import { ENGLISH } from '../src/ui/words';

const CALLS = [
  { id: 'c1', name: 'pay', arguments: '{"euros": 5}' },
  { id: 'c2', name: 'go', arguments: '{}' }
];

let answers: [string, Answer][];
let stopped: number;
let run: LiveRun;

beforeEach(() => {
  window.matchMedia = () => ({ matches: true }) as MediaQueryList; // nothing moves
  answers = [];
  stopped = 0;
  run = new LiveRun({
    hosts: hostsWith(null),
    trans: ENGLISH,
    stop: () => stopped++,
    answer: (question, answer) => answers.push([question, answer])
  });
  document.body.replaceChildren(run.node);
});

afterEach(() => run.dispose());

const find = <E extends HTMLElement>(selector: string) => run.node.querySelector<E>(selector)!;
const buttons = (text: string) =>
  Array.from(run.node.querySelectorAll('button')).filter(one => one.textContent === text);

describe('a live run', () => {
  const STARTED = { type: 'run_started', run_id: 'r', agent_name: 'ada', model: 'demo' };

  it('grows, says what goes on, and can be stopped until it has ended', () => {
    run.handle([STARTED, { type: 'reasoning_delta', text: 'Hm' }]);
    expect(find(':scope > [role="status"]').textContent).toBe('ada is thinking.');
    expect(find<HTMLDetailsElement>('details').open).toBe(true);
    run.handle([{ type: 'text_delta', text: 'It is **so' }]);
    expect(find<HTMLDetailsElement>('details').open).toBe(false);
    const first = find('.lk-Answer');
    run.handle([{ type: 'text_delta', text: '**.\n\nAnd more' }]);
    expect(find('.lk-Answer')).toBe(first);
    expect(find('.lk-Answer strong').textContent).toBe('so');
    expect(find('[role="log"]').getAttribute('aria-live')).toBe('off');
    expect(find(':scope > [role="status"]').textContent).toBe('ada is answering.');
    find('.lk-Stop').click();
    expect(stopped).toBe(1);
    run.handle([{ type: 'run_ended', stop_reason: 'end_turn', steps: 1, seconds: 1, usage: {} }]);
    expect(find('.lk-Stop').hidden).toBe(true);
    expect(find(':scope > [role="status"]').textContent).toBe(
      'ada says: It is **so**. And more'
    );
  });

  it('shows what a running tool prints, and folds it when it has returned', () => {
    const call = { call_id: 'c1', name: 'look' };
    run.handle([STARTED, { type: 'tool_started', ...call, arguments: {}, runs_in: 'notebook' }]);
    run.handle([{ type: 'tool_progress', call_id: 'c1', text: 'half\n', stream: 'stdout' }]);
    expect(find('.lk-Call-output').textContent).toBe('half\n');
    run.handle([{ type: 'tool_returned', ...call, status: 'ok', text: '2', seconds: 1 }]);
    expect(find('.lk-Call-output')).toBeNull();
    expect(find('details .lk-inside').textContent).toContain('half');
  });

  it('denies in one step, with a reason if there is one', () => {
    run.ask({ id: 'q', kind: 'approval', calls: CALLS });
    find<HTMLTextAreaElement>('[aria-label="Why not (optional)"]').value = 'not now';
    buttons('Deny')[0].click();
    expect(answers).toEqual([]); // the other one is not decided
    buttons('Deny')[0].click();
    const decisions = [
      { id: 'c1', approve: false, reason: 'not now' },
      { id: 'c2', approve: false }
    ];
    expect(answers).toEqual([['q', { decisions }]]);
  });

  it('approves edited arguments, which have to be an object', () => {
    run.ask({ id: 'q', kind: 'approval', calls: CALLS.slice(0, 1) });
    buttons('Edit')[0].click();
    const field = find<HTMLTextAreaElement>('[aria-label="Arguments of pay, as JSON"]');
    expect(field.value).toBe('{\n  "euros": 5\n}');
    for (const wrong of ['[1]', '{', '7', 'null']) {
      field.value = wrong;
      buttons('Approve')[0].click();
      expect(find('[role="alert"]').textContent).not.toBe('');
    }
    field.value = '{"euros": 4}';
    buttons('Approve')[0].click();
    expect(answers).toEqual([
      ['q', { decisions: [{ id: 'c1', approve: true, arguments: { euros: 4 } }] }]
    ]);
    run.ask(null);
    expect(find('.lk-Ask')).toBeNull();
  });

  it('decides about all that is left', () => {
    run.ask({ id: 'q', kind: 'approval', calls: CALLS });
    buttons('Deny')[1].click();
    buttons('Approve all')[0].click();
    const approved = (answers[0][1] as any).decisions.map((one: any) => [one.id, one.approve]);
    expect(new Map(approved)).toEqual(new Map([['c2', false], ['c1', true]]));
  });
});

describe('what is followed', () => {
  it('comes once and in order; what was missed is asked for once', () => {
    const asked: [string, number][] = [];
    const heard: unknown[] = [];
    const followed = new Followed(
      (run, after) => asked.push([run, after]),
      ({ events }) => heard.push(...events.map(({ type }) => type))
    );
    const tell = (after: number, until: number, ...types: string[]) =>
      followed.take({
        ...{ run_id: 'r', agent_id: 'a', after, until },
        events: types.map(type => ({ type }))
      } as IEvents);
    tell(0, 2, 'one', 'two');
    tell(4, 5, 'five');
    tell(5, 6, 'six');
    expect(asked).toEqual([['r', 2]]);
    tell(0, 6, 'for another page');
    tell(2, 6, 'three to six');
    tell(6, 7, 'seven');
    expect(heard).toEqual(['one', 'two', 'three to six', 'seven']);
    expect(asked).toHaveLength(1);
  });
});

describe('a run that has stopped', () => {
  const STOP = {
    ...{ id: 'q', kind: 'stop' as const, point: 'call' as const, title: 'before the call of pay', step: 2, why: 'tool:pay' },
    ...{ problem: '', note: '' },
    parts: [{ name: 'tools', tokens: 1200, text: '<b>pay</b>' }],
    texts: [
      { key: 'arguments', label: 'its arguments', text: '{"euros": 5}' },
      { key: 'result', label: 'a result', text: '' }
    ]
  };

  it('is looked at, changed, and goes on', () => {
    run.handle([{ type: 'run_started', run_id: 'r', agent_name: 'ada', model: 'demo' }]);
    run.ask(STOP);
    const shown = find('.lk-Ask');
    expect(shown.textContent).toContain('Stopped before the call of pay · step 2 tool:pay');
    expect(shown.textContent).toContain('tools · 1,200 tokens');
    expect(find('.lk-Text').textContent).toBe('<b>pay</b>');
    find<HTMLTextAreaElement>('textarea[aria-label="its arguments"]').value = '{"euros": 4}';
    buttons('Step')[0].click();
    expect(answers).toEqual([
      ['q', { action: 'step', changes: { arguments: '{"euros": 4}' }, name: '' }]
    ]);
    expect(buttons('Step')[0].disabled).toBe(true);
    run.ask(null);
    expect(find('.lk-Ask')).toBeNull();
  });

  it('says what was wrong, and is forked by a name', () => {
    run.ask({ ...STOP, problem: 'no JSON', note: '' });
    expect(find('.lk-Wrong').textContent).toBe('no JSON');
    find<HTMLTextAreaElement>('.lk-Buttons textarea').value = 'bea';
    buttons('Fork')[0].click();
    expect(answers).toEqual([['q', { action: 'fork', changes: {}, name: 'bea' }]]);
  });
});
