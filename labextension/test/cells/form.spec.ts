import { nullTranslator } from '@jupyterlab/translation';

import { ToolForm, type IToolOutcome } from '../../src/cells/form';
import type { IToolEntry } from '../../src/cells/roster';

const trans = nullTranslator.load('letta-kernel');

function form(properties: Record<string, unknown>, required: string[] = []) {
  const given: Record<string, unknown>[] = [];
  let answer: IToolOutcome | Error = { status: 'ok', text: '21.5', output: 'asking\n' };
  const tool = {
    ...{ id: 't', name: 'weather', description: 'Say it.', cell_id: null, place: 'notebook' },
    ...{ requires_approval: false, calls: 0, failures: 0, last_error: null, failing: false },
    parameters: { properties, required }
  } as IToolEntry;
  const made = new ToolForm(
    tool,
    async one => {
      given.push(one);
      if (answer instanceof Error) {
        throw answer;
      }
      return answer;
    },
    trans
  );
  const fields = () =>
    Array.from(made.node.querySelectorAll<HTMLInputElement>('input, textarea, select'));
  const said = () => made.node.querySelector('[role=status]')?.textContent;
  return { made, given, fields, said, answers: (one: IToolOutcome | Error) => (answer = one) };
}

test('each argument has a field of its kind, and its value is sent as that', async () => {
  const { made, given, fields } = form(
    {
      city: { type: 'string' },
      days: { type: 'integer', default: 3 },
      warm: { type: 'boolean', default: true },
      unit: { enum: ['C', 'F'], default: 'F' },
      tags: { type: 'array' },
      note: { anyOf: [{ type: 'string' }, { type: 'null' }] },
      left: { type: 'string' }
    },
    ['city']
  );
  expect(fields().map(field => field.type)).toEqual([
    ...['textarea', 'number', 'checkbox', 'select-one', 'textarea', 'textarea', 'textarea']
  ]);
  fields()[0].value = 'Paris';
  fields()[4].value = '["a", 1]';
  fields()[5].value = 'plain words';
  await made.run();
  expect(given).toEqual([
    { city: 'Paris', days: 3, warm: true, unit: 'F', tags: ['a', 1], note: 'plain words' }
  ]);
});

test('what is no JSON where JSON is needed is said, and nothing is run', async () => {
  const { made, given, fields, said } = form({ tags: { type: 'array' } });
  fields()[0].value = '[1,';
  await made.run();
  expect(said()).toContain('tags has to be JSON');
  expect(given).toEqual([]);
});

test('the result is shown with what was printed', async () => {
  const { made, said } = form({});
  await made.run();
  expect(said()).toBe('asking\n\n21.5');
});

test.each([
  [{ status: 'error', text: 'Error: x', error: 'ValueError: x' }, 'ValueError: x'],
  [new Error('city: Field required.'), 'city: Field required.']
])('a failure is shown: %p', async (outcome, text) => {
  const { made, said, answers } = form({});
  answers(outcome);
  await made.run();
  expect(said()).toBe(text);
  expect(made.node.querySelector('.lk-mod-error')).not.toBeNull();
  expect(made.node.querySelector<HTMLButtonElement>('button')?.disabled).toBe(false);
});

test('names and results are only ever text', async () => {
  const evil = '<img src=x onerror="window.hacked = 1">';
  const { made, answers } = form({ [evil]: { type: evil, description: evil, default: evil } });
  answers({ status: 'ok', text: evil });
  await made.run();
  expect(made.node.querySelector('img')).toBeNull();
});
