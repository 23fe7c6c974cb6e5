import { RpcError } from '../../src/bridge';
import { fieldsOf, fill } from '../../src/panel/model/form';
import { MemoryModel } from '../../src/panel/model/memory';
import { PanelModel } from '../../src/panel/model/panel';
import { ArchiveModel, MessagesModel } from '../../src/panel/model/parts';
import type { Ask } from '../../src/panel/model/records';
import { agent, block, KernelRpc, message, settle } from './rpc';
import { NO_PAST } from '../../src/ui/past';

const ask = (rpc: KernelRpc): Ask => (method, params) => rpc.request(method, params);

describe('the parts of an agent', () => {
  it('are read when they are looked at, and not before', async () => {
    const rpc = new KernelRpc();
    const memory = new MemoryModel(ask(rpc), 'agent-ada');
    memory.invalidate();
    await settle();
    expect(rpc.asked).toEqual([]);
    memory.show(true);
    await settle();
    expect(memory.blocks[0].value).toBe('Lin');
    memory.show(false);
    memory.invalidate();
    await settle();
    expect(rpc.count('blocks')).toBe(1);
    memory.show(true);
    await settle();
    expect(rpc.count('blocks')).toBe(2);
  });

  it('are read once more after many changes while they were being read', async () => {
    let answer: (blocks: unknown) => void = () => undefined;
    const rpc = new KernelRpc({ blocks: () => new Promise(resolve => (answer = resolve)) });
    const memory = new MemoryModel(ask(rpc), 'agent-ada');
    memory.show(true);
    await settle();
    for (let i = 0; i < 5; i++) {
      memory.invalidate();
    }
    answer([]);
    await settle();
    answer([block('human', 'new')]);
    await settle();
    expect(rpc.count('blocks')).toBe(2);
    expect(memory.blocks[0].value).toBe('new');
  });

  it('say why they could not be read, until they can', async () => {
    const rpc = new KernelRpc({
      blocks: () => {
        throw new RpcError('NotFoundError', 'There is no agent.');
      }
    });
    const memory = new MemoryModel(ask(rpc), 'agent-ada');
    memory.show(true);
    await settle();
    expect([memory.loaded, memory.error]).toEqual([false, 'There is no agent.']);
    rpc.answers.blocks = () => [];
    memory.invalidate();
    await settle();
    expect([memory.loaded, memory.error]).toEqual([true, '']);
  });
});

describe('asking about memory', () => {
  it('has the blocks as they are then when it is answered, refused or not', async () => {
    let kept = block('human', 'Lin');
    const rpc = new KernelRpc({
      blocks: () => [kept],
      'block.write': ({ value }) => {
        kept = block('human', value, kept.version + 1);
        if (value === 'refused') {
          throw new RpcError('ConflictError', 'It was changed meanwhile.');
        }
      }
    });
    const memory = new MemoryModel(ask(rpc), 'agent-ada');
    const write = (value: string) => memory.askBlocks('block.write', { label: 'human', value });
    await write('Lin likes tea');
    expect(memory.blocks[0]).toMatchObject({ value: 'Lin likes tea', version: 2 });
    await expect(write('refused')).rejects.toThrow('It was changed meanwhile.');
    expect(memory.blocks[0].version).toBe(3);
    expect(rpc.asked[0][1]).toEqual({ agent: 'agent-ada', label: 'human', value: 'Lin likes tea' });
  });
});

describe('pages', () => {
  const all = Array.from({ length: 70 }, (_, i) => message(i));
  const page = ({ limit, before = 70 }: { limit: number; before?: number }) =>
    all.filter(({ seq }) => seq < before).slice(-limit);

  it('come newest first, older ones on demand, and stay when something new comes', async () => {
    const rpc = new KernelRpc({ messages: page });
    const messages = new MessagesModel(ask(rpc), 'agent-ada');
    messages.show(true);
    await settle();
    expect(messages.items.map(({ seq }) => seq).slice(0, 2)).toEqual([69, 68]);
    await messages.loadOlder();
    expect(messages.items).toHaveLength(60);
    expect(messages.more).toBe(true);
    messages.invalidate();
    await settle();
    expect(messages.items).toHaveLength(60);
    await messages.loadOlder();
    expect(messages.items.map(({ seq }) => seq)).toEqual(all.map(({ seq }) => seq).reverse());
    expect(messages.more).toBe(false);
  });

  it('are searched, and shown again when the search is emptied', async () => {
    const rpc = new KernelRpc({ messages: page, 'messages.search': () => [message(3)] });
    const messages = new MessagesModel(ask(rpc), 'agent-ada');
    messages.show(true);
    await messages.search(' tea ');
    expect(messages.items.map(({ seq }) => seq)).toEqual([3]);
    expect(messages.more).toBe(false);
    expect(rpc.asked[rpc.asked.length - 1][1]).toMatchObject({ query: 'tea' });
    await messages.search('');
    expect(messages.items).toHaveLength(30);
  });

  it('of the archive are asked for by the last passage and tag', async () => {
    const passages = Array.from({ length: 30 }, (_, i) => ({ id: `p${i}` }));
    const rpc = new KernelRpc({ passages: ({ before }) => (before ? [] : passages) });
    const archive = new ArchiveModel(ask(rpc), 'agent-ada');
    await archive.filter('tea');
    await archive.loadOlder();
    const [, params] = rpc.asked[rpc.asked.length - 1];
    expect(params).toMatchObject({ before: 'p29', tags: ['tea'] });
    expect(archive.more).toBe(false);
  });
});

describe('PanelModel', () => {
  it('reads the agents when it is shown, and looks at one that does something', async () => {
    const rpc = new KernelRpc({ agents: () => [agent('ada'), agent('bob', { state: 'waiting' })] });
    const panel = new PanelModel(rpc);
    await settle();
    expect(rpc.asked).toEqual([]);
    panel.show(true);
    await settle();
    expect(panel.agent?.name).toBe('bob');
  });

  it("follows the notebook's agent, unless the person chose another there", async () => {
    let agentId: string | null = 'agent-bob';
    const all = ['ada', 'bob', 'cleo'].map(name => agent(name));
    const rpc = new KernelRpc({ agents: () => all, notebook: () => ({ agent: agentId }) });
    const inFront = (path: string) => (rpc.panel = { context: { path } });
    const talksTo = async (id: string) => {
      agentId = id;
      rpc.changed.emit({ what: ['notebook'], agents: [] });
      await settle();
    };
    inFront('one.ipynb');
    const panel = new PanelModel(rpc);
    panel.show(true);
    await settle();
    expect(panel.agent?.name).toBe('bob');
    await talksTo('agent-cleo');
    expect(panel.agent?.name).toBe('cleo');
    expect(panel.current).toBe('agent-cleo');
    panel.choose('agent-ada');
    await talksTo('agent-bob');
    expect(panel.agent?.name).toBe('ada');
    inFront('two.ipynb'); // nobody has chosen there
    rpc.notebookChanged.emit(null);
    await settle();
    expect(panel.agent?.name).toBe('bob');
    inFront('one.ipynb');
    rpc.notebookChanged.emit(null);
    await settle();
    expect(panel.agent?.name).toBe('ada');
    expect(panel.remembered.choices).toEqual([['one.ipynb', 'agent-ada']]);
    panel.choose('agent-bob'); // its own one: it is followed again
    await talksTo('agent-cleo');
    expect(panel.agent?.name).toBe('cleo');
    expect(panel.remembered.choices).toEqual([]);
  });

  it('takes up what was chosen and opened before', async () => {
    const panel = new PanelModel(new KernelRpc());
    panel.restore({ choices: [['', 'agent-bob']], open: ['runs'] });
    panel.show(true);
    await settle();
    expect(panel.agent?.name).toBe('bob');
    panel.choose('agent-ada');
    expect(panel.remembered).toEqual({ choices: [['', 'agent-ada']], open: ['runs'] });
  });

  it('takes up nothing that makes no sense', () => {
    const panel = new PanelModel(new KernelRpc());
    panel.restore({ choices: [7, ['x', 'y'], [1, 2]] as never, open: [7, 'tools', 'anothers'] as never });
    // A section of somebody else's may come later than what is remembered.
    expect(panel.remembered).toEqual({ choices: [['x', 'y']], open: ['tools', 'anothers'] });
  });

  it('follows what happens in runs and elsewhere', async () => {
    const rpc = new KernelRpc();
    const panel = new PanelModel(rpc);
    panel.show(true);
    await settle();
    const states = () => panel.agents.map(({ state }) => state);
    rpc.happen('agent-bob', 'run-1', { type: 'run_started', agent_name: 'bob' });
    expect(states()).toEqual(['idle', 'running']);
    rpc.happen('agent-bob', 'run-1', { type: 'approval_requested', calls: [] });
    expect(states()).toEqual(['idle', 'waiting']);
    rpc.happen('agent-bob', 'run-1', { type: 'run_ended', stop_reason: 'end_turn' });
    expect(states()).toEqual(['idle', 'idle']);
    rpc.answers.blocks = () => [block('human', 'Lin, 30', 2)];
    rpc.happen('agent-ada', 'run-2', { type: 'memory_changed', label: 'human' });
    await settle();
    expect(panel.chosen?.memory.blocks[0].value).toBe('Lin, 30');
    const read = rpc.count('blocks');
    rpc.changed.emit({ what: ['blocks'], agents: ['agent-bob'] });
    await settle();
    expect(rpc.count('blocks')).toBe(read);
    rpc.changed.emit({ what: ['blocks'], agents: null });
    await settle();
    expect(rpc.count('blocks')).toBe(read + 1);
  });

  it('reads the line again when it was rewound, or another agent was forked from it', async () => {
    const rpc = new KernelRpc({ timeline: () => NO_PAST });
    const panel = new PanelModel(rpc);
    panel.show(true);
    panel.toggle('timeline', true);
    rpc.happen('agent-ada', 'run-1', { type: 'run_started', agent_name: 'ada' });
    rpc.happen('agent-ada', 'run-1', { type: 'run_ended', stop_reason: 'end_turn' });
    await settle();
    const read = rpc.count('timeline');
    expect(panel.chosen?.chat.exchanges).toHaveLength(1);
    rpc.changed.emit({ what: ['branches'], agents: ['agent-ada'] });
    await settle();
    expect(rpc.count('timeline')).toBe(read + 1);
    expect(panel.chosen?.chat.exchanges).toHaveLength(0);
    rpc.changed.emit({ what: ['agents', 'branches'], agents: ['agent-eve'] });
    await settle();
    expect(rpc.count('timeline')).toBe(read + 2);
  });

  it('reads a plot while its section and it are open, and again when its figures may have changed', async () => {
    const rpc = new KernelRpc({ plot: ({ what, query }) => ({ kind: what, title: query }), passages: () => [] });
    const panel = new PanelModel(rpc);
    panel.show(true);
    await settle();
    const { plots } = panel.chosen!;
    plots.retrieval.toggle(true);
    await settle();
    expect(rpc.count('plot')).toBe(0);
    panel.toggle('archive', true);
    await settle();
    expect(rpc.count('plot')).toBe(1);
    rpc.changed.emit({ what: ['passages'], agents: ['agent-ada'] });
    rpc.changed.emit({ what: ['blocks'], agents: ['agent-ada'] });
    plots.retrieval.search('boat');
    await settle();
    expect(plots.retrieval.chart?.title).toBe('boat');
    const read = rpc.count('plot');
    plots.retrieval.toggle(false);
    rpc.changed.emit({ what: ['passages'], agents: ['agent-ada'] });
    await settle();
    expect(rpc.count('plot')).toBe(read);
  });

  it('reads nothing while the kernel is away and everything when it is back', async () => {
    const rpc = new KernelRpc();
    const panel = new PanelModel(rpc);
    panel.show(true);
    await settle();
    rpc.happen('agent-ada', 'run-1', { type: 'run_started', agent_name: 'ada' });
    rpc.become('lost');
    expect(panel.loaded).toBe(false);
    expect(panel.chosen?.chat.running).toBeNull();
    const asked = rpc.asked.length;
    panel.refresh();
    await settle();
    expect(rpc.asked).toHaveLength(asked);
    rpc.become('ready');
    await settle();
    expect(panel.loaded).toBe(true);
    expect(rpc.asked.length).toBeGreaterThan(asked);
  });

  it('looks at another agent when the chosen one is deleted', async () => {
    const rpc = new KernelRpc({ 'agent.delete': () => null });
    const panel = new PanelModel(rpc);
    panel.show(true);
    await settle();
    rpc.answers.agents = () => [agent('bob')];
    await panel.change('agent.delete', { agent: 'agent-ada' });
    expect(panel.agent?.name).toBe('bob');
  });
});

describe('a form for arguments', () => {
  const schema = {
    properties: {
      city: { type: 'string', description: 'Where' },
      days: { type: 'integer', default: 3 },
      unit: { enum: ['C', 'F'], default: 'F' },
      deep: { anyOf: [{ type: 'boolean' }, { type: 'null' }], default: null },
      points: { type: 'array' },
      either: { anyOf: [{ type: 'string' }, { type: 'integer' }] }
    },
    required: ['city', 'points']
  };

  it('has a field of the right kind for each', () => {
    expect(fieldsOf(schema).map(({ name, kind, initial }) => [name, kind, initial])).toEqual([
      ['city', 'text', ''],
      ['days', 'number', '3'],
      ['unit', 'choice', '1'],
      ['deep', 'switch', ''],
      ['points', 'json', ''],
      ['either', 'json', '']
    ]);
    expect(fieldsOf({})).toEqual([]);
  });

  it('makes arguments, leaving out what is optional and empty', () => {
    const values = { city: 'Paris', points: '[1, 2]', unit: '0', deep: 'true' };
    expect(fill(fieldsOf(schema), values)).toEqual({
      arguments: { city: 'Paris', days: 3, unit: 'C', deep: true, points: [1, 2] },
      wrong: []
    });
  });

  it('names what is wrong', () => {
    const values = { days: '2.5', points: '[1', either: 'text' };
    expect(fill(fieldsOf(schema), values).wrong).toEqual(['days', 'points', 'either']);
    expect(fill(fieldsOf(schema), {}).wrong).toEqual(['points']);
  });
});
