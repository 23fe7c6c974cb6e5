// Calls that wait for a word: what they would do, and what can be said about them.

import { drawApproval } from '../src/ui/ask';
import type { IChoice } from '../src/ui/choice';
import { setPage, type IPage } from '../src/ui/page';
import { ENGLISH } from '../src/ui/words';

type Call = Parameters<typeof drawApproval>[0][number];

let said: [string, IChoice][];

beforeEach(() => (said = []));
afterEach(() => setPage(null));

function call(name: string, given: object | string, id = 'call-1'): Call {
  const text = typeof given === 'string' ? given : JSON.stringify(given);
  return { id, name, arguments: text } as Call;
}

function ask(...calls: Call[]) {
  const node = drawApproval(calls, ENGLISH, ({ id }, choice) => said.push([id, choice]));
  document.body.replaceChildren(node);
  const press = (text: string) =>
    Array.from(node.querySelectorAll('button'))
      .find(one => one.textContent === text)
      ?.click();
  return { node, press, text: () => node.textContent };
}

const page = (changes: Partial<IPage> = {}): IPage => ({
  place: () => null,
  cell: name => (name === 'c1' ? { source: 'a = 1\nb = 2', label: 'cell [3]' } : null),
  shows: () => false,
  show: () => undefined,
  decide: (id, choice) => said.push([`page ${id}`, choice]),
  ...changes
});

it('shows what a change of a cell comes to, and lets its source be edited', () => {
  setPage(page());
  const { node, press, text } = ask(call('notebook_edit', { cell: 'c1', source: 'a = 1\nb = 3' }));
  expect(text()).toContain('Change cell [3]?');
  expect(node.querySelector('.lk-Diff-gone')?.textContent).toContain('b = 2');
  expect(node.querySelector('.lk-Diff-come')?.textContent).toContain('b = 3');
  press('Edit');
  const field = node.querySelector<HTMLTextAreaElement>('textarea.lk-mod-code')!;
  expect(field.value).toBe('a = 1\nb = 3');
  field.value = 'a = 1\nb = 4';
  press('Accept');
  const given = { cell: 'c1', source: 'a = 1\nb = 4' };
  expect(said).toEqual([['call-1', { approve: true, arguments: given }]]);
  expect(text()).toContain('accepted as edited');
  expect(node.querySelector('.lk-Diff-come')?.textContent).toContain('b = 4');
});

it.each<[string, object, string]>([
  ['notebook_insert', { source: 'x', after: 'c1' }, 'Insert this cell?'],
  ['notebook_insert', { source: '# x', kind: 'markdown' }, 'Insert this text?'],
  ['notebook_delete', { cell: 'c1' }, 'Delete cell [3]?'],
  ['notebook_move', { cell: 'c1', after: 'top' }, 'Move cell [3] to the top?'],
  ['notebook_move', { cell: 'c1', after: 7 }, 'Move cell [3] below cell 7?'],
  ['notebook_run', { code: 'x' }, 'Run this code?'],
  ['notebook_run_cell', { cell: 'c1' }, 'Run cell [3]?']
])('asks about %s %j in words', (name, given, title) => {
  setPage(page());
  expect(ask(call(name, given)).text()).toContain(title);
});

it.each<[string, object | string]>([
  ['send_money', { to: 'kim' }],
  ['notebook_edit', '{"cell": "c1", "sour'],
  ['toString', {}]
])('shows %s %j as it is written', (name, given) => {
  const { text } = ask(call(name, given));
  expect(text()).toContain(`Allow ${name}?`);
});

it('lets a word on running code hold for more than once, and on nothing else', () => {
  const run = ask(call('notebook_run', { code: 'x' }));
  const scope = run.node.querySelector('select')!;
  expect(Array.from(scope.options, ({ value }) => value)).toEqual(['', 'run', 'notebook', 'agent']);
  scope.value = 'notebook';
  run.press('Approve');
  expect(said).toEqual([['call-1', { approve: true, scope: 'notebook' }]]);
  expect(ask(call('send_money', {})).node.querySelector('select')).toBeNull();
});

it('hides nothing of what would be run', () => {
  const code = `x = 1 \u202e# ) dne\u2066\n${'pass\n'.repeat(3500)}harm()`;
  const shown = ask(call('notebook_run', { code })).node.querySelector('pre')!.textContent;
  expect(shown).toContain('x = 1 ⟨U+202E⟩# ) dne⟨U+2066⟩');
  expect(shown).toContain('harm()');
  const diff = ask(call('notebook_insert', { source: code })).node;
  expect(diff.textContent).toContain('⟨U+202E⟩');
  expect(diff.querySelector('summary')?.textContent).toBe('2801 more lines');
  expect(diff.textContent).toContain('502 more lines are not shown');
});

it('leaves changes to the notebook that shows them, and tells it of the others too', () => {
  const shown: string[] = [];
  const shows: IPage['shows'] = ({ name }) => name === 'notebook_edit';
  setPage(page({ shows, show: id => shown.push(id) }));
  const edit = call('notebook_edit', { cell: 'c1', source: '' });
  const { text, press } = ask(edit, call('send_money', { to: 'kim' }, 'call-2'));
  expect(text()).toContain('A change is proposed in the notebook.');
  expect(text()).not.toContain('Change cell');
  press('Show');
  expect(shown).toEqual(['call-1']);
  press('Approve');
  expect(said).toEqual([['page call-2', { approve: true }]]);
  const alone = ask(edit);
  alone.press('Reject');
  expect(said.pop()).toEqual(['page call-1', { approve: false }]);
});
