import { nullTranslator } from '@jupyterlab/translation';

import type { IFacts, IToolEntry } from '../../src/cells/roster';
import { CellStrip } from '../../src/cells/strip';
import { ToolCard, typeWord } from '../../src/cells/tools';

const trans = nullTranslator.load('letta-kernel');

function tool(name: string, changes: Partial<IToolEntry> = {}): IToolEntry {
  return {
    ...{ id: `tool-${name}`, name, description: `Do ${name}.`, cell_id: 'cell-1' },
    ...{ place: 'notebook', requires_approval: false },
    ...{ calls: 0, failures: 0, last_error: null, failing: false },
    parameters: { properties: { city: { type: 'string' } }, required: ['city'] },
    ...changes
  };
}

function facts(changes: Partial<IFacts> = {}): IFacts {
  return {
    agents: [
      { id: 'agent-1', name: 'ada', answers: 'demo' },
      { id: 'agent-2', name: 'bob', answers: 'openai/gpt' }
    ],
    current: 'agent-1',
    models: ['demo'],
    tools: [],
    ...changes
  };
}

let done: string[];
let strip: CellStrip;

beforeEach(() => {
  done = [];
  strip = new CellStrip(
    {
      chooseAgent: () => done.push('agent'),
      chooseModel: () => done.push('model'),
      runTool: one => done.push(`run ${one.name}`),
      showTool: one => done.push(`show ${one.name}`),
      hideTool: () => done.push('hide')
    },
    trans
  );
  document.body.replaceChildren(strip.node);
});

const texts = () =>
  Array.from(strip.node.querySelectorAll('.lk-Badge-text'), node => node.textContent);
const badge = () => strip.node.querySelector('button') as HTMLButtonElement;

test.each([
  ['%%agent\nhi', ['ada', 'demo']],
  ['%%agent bob\nhi', ['bob', 'openai/gpt']],
  ['%%agent bob --model demo\nhi', ['bob', 'demo']],
  ['%%agent carol\nhi', ['carol', 'model']],
  ['%%agent @team\nhi', ['@team']]
])('above %j stand %j', (source, shown) => {
  strip.update(source, 'cell-1', facts());
  expect(strip.node.hidden).toBe(false);
  expect(texts()).toEqual(shown);
});

test('a notebook without an agent says that one will be made', () => {
  strip.update('%%agent\nhi', 'cell-1', facts({ agents: [], current: null }));
  expect(texts()).toEqual(['new agent', 'model']);
});

test('nothing stands above other cells, nor where the kernel has no agents', () => {
  strip.update('x = 1', 'cell-1', facts());
  expect(strip.node.hidden).toBe(true);
  strip.update('%%agent\nhi', 'cell-1', null);
  expect(strip.node.hidden).toBe(true);
  strip.update('def f(): …', 'cell-2', facts({ tools: [tool('f')] }));
  expect(strip.node.hidden).toBe(true);
});

test('the badges open their menus', () => {
  strip.update('%%agent\nhi', 'cell-1', facts());
  strip.node.querySelectorAll('button').forEach(button => button.click());
  expect(done).toEqual(['agent', 'model']);
});

test.each([
  [{}, 'ok', 'ready'],
  [{ calls: 2 }, 'ok', 'ready, called 2 times'],
  [{ calls: 2, failures: 1, last_error: 'ValueError: no' }, 'ok', 'ready, called 2 times'],
  [{ calls: 1, failures: 1, last_error: 'no', failing: true }, 'failing', 'failed once'],
  [{ requires_approval: true }, 'approval', 'asks before each call'],
  [{ place: 'sandbox' }, 'sandbox', 'runs in a sandbox']
])('a tool that is %j is shown as %s', (changes, state, words) => {
  strip.update('def weather(): …', 'cell-1', facts({ tools: [tool('weather', changes)] }));
  expect(badge().dataset.state).toBe(state);
  expect(badge().getAttribute('aria-label')).toBe(`Tool weather: ${words}. Run it by hand`);
});

test('a tool badge shows its card to pointer and focus, and runs the tool', () => {
  strip.update('def weather(): …', 'cell-1', facts({ tools: [tool('weather')] }));
  badge().dispatchEvent(new MouseEvent('mouseenter'));
  badge().dispatchEvent(new MouseEvent('mouseleave'));
  badge().dispatchEvent(new FocusEvent('focus'));
  badge().click();
  expect(done).toEqual(['show weather', 'hide', 'show weather', 'hide', 'run weather']);
});

test('what the kernel says is only ever text', () => {
  const evil = '<img src=x onerror="window.hacked = 1">';
  const given = facts({ agents: [{ id: 'agent-1', name: evil, answers: evil }] });
  strip.update('%%agent', 'cell-1', given);
  expect(strip.node.querySelector('img')).toBeNull();
  expect(texts()[0]).toContain('<img');
  const card = new ToolCard(trans);
  const bad = tool(evil, { description: evil, last_error: evil, parameters: { properties: { [evil]: { type: evil, description: evil } } } });
  strip.update('def f(): …', 'cell-1', facts({ tools: [bad] }));
  card.show(bad, badge());
  expect(document.querySelector('img')).toBeNull();
  expect(card.node.textContent).toContain('<img');
  card.dispose();
});

test('the focus stays on its badge when the strip is drawn anew', () => {
  strip.update('%%agent\nhi', 'cell-1', facts());
  strip.node.querySelectorAll('button')[1].focus();
  strip.update('%%agent bob\nhi', 'cell-1', facts());
  expect(document.activeElement).toBe(strip.node.querySelectorAll('button')[1]);
});

test('the card says what the model is told, and goes away with Escape', () => {
  const card = new ToolCard(trans);
  strip.update('def f(): …', 'cell-1', facts({ tools: [tool('f')] }));
  card.show(tool('f'), badge());
  expect(card.node.textContent).toContain('Do f.');
  expect(card.node.querySelector('tr')?.textContent).toBe('citystring');
  expect(badge().getAttribute('aria-describedby')).toBe(card.node.id);
  document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }));
  expect(card.node.isConnected).toBe(false);
  expect(badge().hasAttribute('aria-describedby')).toBe(false);
  card.dispose();
});

test.each([
  [{ type: 'string' }, 'string'],
  [{ enum: ['a', 'b'] }, '"a" | "b"'],
  [{ type: 'array', items: { type: 'integer' } }, 'array of integer'],
  [{ anyOf: [{ type: 'string' }, { type: 'null' }] }, 'string | null'],
  [null, ''],
  [{ type: ['a'] }, '']
])('the type of %j is %j', (schema, word) => {
  expect(typeWord(schema)).toBe(word);
});

it.each([
  ['%%agent\nhi', 'shared:ann/ada'],
  ['%%agent ann/ada\nhi', 'agent-1']
])("names somebody else's agent, without a model to choose: %s", (source, current) => {
  strip.update(source, 'cell-1', facts({ current, shared: ['ann/ada'] }));
  expect(strip.node.textContent?.replace(/\s*▾/g, '')).toBe('ann/ada');
  expect(strip.node.querySelector('.lk-mod-unknown')).toBeNull();
});
