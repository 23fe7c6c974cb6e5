import { agentCell, isAgentCell, readFirstLine, withAgent, withModel } from '../../src/cells/firstline';

test.each([
  ['%%agent', true],
  ['%%agent ada\nhello', true],
  ['%%agentic', false],
  ['%agent ada', false],
  [' %%agent', false],
  ['print(1)\n%%agent', false],
  ['', false]
])('%j is an agent cell: %s', (source, is) => {
  expect(isAgentCell(source)).toBe(is);
  expect(readFirstLine(source) !== null).toBe(is);
});

test.each([
  ['%%agent\nhello', '', ''],
  ['%%agent ada\nhello', 'ada', ''],
  ['%%agent --model demo ada', 'ada', 'demo'],
  ['%%agent --model=openai/gpt ada --raw', 'ada', 'openai/gpt'],
  ['%%agent "Ada Lovelace" --max-steps 3', 'Ada Lovelace', ''],
  ['%%agent --max-steps 3', '', ''],
  ['%%agent --as rows list[Person]', '', ''],
  ['%%agent --as rows dict[str, int] --model demo', '', 'demo'],
  ['%%agent ada --as=rows list[Person]', 'ada', ''],
  ["%%agent It's", "It's", ''],
  ['%%agent "a \\"b\\" c"', 'a "b" c', ''],
  ['%%agent --model="my model"', '', 'my model'],
  ['%%agent ada --model', 'ada', ''],
  ['%%agent\nada --model demo', '', '']
])('%j names its agent and model', (source, agent, model) => {
  expect(readFirstLine(source)).toEqual({ agent, model });
});

test.each([
  ['%%agent\nhello ada', 'bob', '%%agent bob\nhello ada'],
  ['%%agent ada\nhello', 'bob', '%%agent bob\nhello'],
  ['%%agent ada --raw', '', '%%agent --raw'],
  ['%%agent --model demo ada', 'bob', '%%agent --model demo bob'],
  ['%%agent --max-steps 3', 'Ada Lovelace', '%%agent "Ada Lovelace" --max-steps 3'],
  ['%%agent --as person Person', 'ada', '%%agent ada --as person Person'],
  ['%%agent', '--model', '%%agent "--model"'],
  ['%%agent', 'a\n"b"', '%%agent "a \\"b\\""']
])('%j can get the agent %j', (source, agent, wanted) => {
  expect(withAgent(source, agent)).toBe(wanted);
  expect(readFirstLine(withAgent(source, agent))?.agent).toBe(agent.replace(/\s+/g, ' '));
});

test.each([
  ['%%agent\nhello', 'demo', '%%agent --model demo\nhello'],
  ['%%agent ada --model demo --raw\nhi', 'openai/gpt', '%%agent ada --model openai/gpt --raw\nhi'],
  ['%%agent ada --model=demo', '', '%%agent ada'],
  ['%%agent --model demo ada\n', '', '%%agent ada\n']
])('%j can get the model %j', (source, model, wanted) => {
  expect(withModel(source, model)).toBe(wanted);
});

test('a new cell names what it is for', () => {
  expect(agentCell()).toBe('%%agent\n');
  expect(agentCell('ada', 'demo', 'Hello!')).toBe('%%agent ada --model demo\nHello!');
});
