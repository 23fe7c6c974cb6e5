import { ChatModel } from '../../src/panel/model/chat';
import { KernelRpc, message, settle } from './rpc';

const STARTED = {
  ...{ type: 'run_started', agent_name: 'ada' },
  ...{ model: 'demo', model_label: 'demo model' }
};
const CALL = { id: 'c1', name: 'pay', arguments: '{"euros": 4}' };

describe('ChatModel', () => {
  let rpc: KernelRpc;
  let chat: ChatModel;

  beforeEach(async () => {
    rpc = new KernelRpc({ approve: () => null, cancel: () => null });
    chat = new ChatModel(
      (method, params) => rpc.request(method, params),
      'agent-ada',
      (...said) => rpc.talk(...said)
    );
    chat.show(true);
    await settle();
  });

  it('says something and hears the answer', async () => {
    chat.write('  Hello  ');
    const sent = chat.send('ada');
    expect(rpc.said).toEqual([['ada', 'Hello', null]]);
    expect(chat.draft).toBe('');
    expect(chat.exchanges).toMatchObject([{ prompt: 'Hello', transcript: null }]);
    rpc.answers.messages = () => [message(1, { run_id: 'run-1', content: 'Hello' })];
    chat.handle({ agent_id: 'agent-ada', run_id: 'run-1', event: STARTED });
    await settle();
    expect(chat.exchanges).toHaveLength(1);
    expect(chat.running?.runId).toBe('run-1');
    const ended = { type: 'run_ended', stop_reason: 'end_turn' };
    chat.handle({ agent_id: 'agent-ada', run_id: 'run-1', event: ended });
    rpc.endTalk();
    await sent;
    expect(chat.running).toBeNull();
    expect(chat.exchanges[0].transcript?.state).toBe('ended');
  });

  it('sends nothing when there is nothing to say', async () => {
    chat.write('  ');
    await chat.send('ada');
    expect(rpc.said).toEqual([]);
  });

  it('does not take a run of a cell for its own', async () => {
    chat.write('Hello');
    void chat.send('ada');
    rpc.answers.messages = () => [message(1, { run_id: 'run-1', content: 'from a cell' })];
    chat.handle({ agent_id: 'agent-ada', run_id: 'run-1', event: STARTED });
    await settle();
    expect(chat.exchanges.map(({ prompt, runId }) => [prompt, runId])).toEqual([
      ['Hello', ''],
      ['from a cell', 'run-1']
    ]);
  });

  it('says why something could not be said', async () => {
    chat.write('Hello');
    const sent = chat.send('ada');
    rpc.endTalk(new Error('The kernel died.'));
    await sent;
    expect(chat.exchanges[0].error).toBe('The kernel died.');
  });

  it('shows what was said before, without what it has heard itself', async () => {
    chat.handle({ agent_id: 'agent-ada', run_id: 'run-2', event: STARTED });
    await settle();
    rpc.answers.messages = () => [message(1), message(2, { run_id: 'run-2' })];
    chat.invalidate();
    await settle();
    expect(chat.past.map(({ seq }) => seq)).toEqual([1]);
  });

  it('tells the agent when all its calls are decided', async () => {
    const other = { ...CALL, id: 'c2' };
    const ask = { type: 'approval_requested', calls: [CALL, other] };
    chat.handle({ agent_id: 'agent-ada', run_id: 'run-1', event: STARTED });
    chat.handle({ agent_id: 'agent-ada', run_id: 'run-1', event: ask });
    expect(chat.waiting).toHaveLength(2);
    await chat.decide({ call_id: 'c1', approve: true });
    expect(rpc.count('approve')).toBe(0);
    await chat.decide({ call_id: 'c2', approve: false, reason: 'no' });
    expect(rpc.asked.filter(([method]) => method === 'approve').map(([, p]) => p)).toEqual([
      {
        agent: 'agent-ada',
        decisions: [
          { call_id: 'c1', approve: true },
          { call_id: 'c2', approve: false, reason: 'no' }
        ]
      }
    ]);
    expect(chat.waiting).toEqual([]);
  });

  it('goes on in the same bubble when its calls are decided', async () => {
    const happen = (run_id: string, event: { type: string } & Record<string, unknown>) =>
      chat.handle({ agent_id: 'agent-ada', run_id, event });
    const call = { id: 'c1', name: 'pay', arguments: '{}' };
    const usage = { prompt_tokens: 10, completion_tokens: 1, cost: null };
    happen('run-1', STARTED);
    happen('run-1', { type: 'approval_requested', calls: [call] });
    happen('run-1', { type: 'run_ended', stop_reason: 'requires_approval', steps: 1, usage });
    happen('run-2', STARTED);
    happen('run-2', { type: 'tool_started', call_id: 'c1', name: 'pay', arguments: {} });
    happen('run-2', { type: 'tool_returned', call_id: 'c1', name: 'pay', status: 'ok', text: '1' });
    happen('run-2', { type: 'run_ended', stop_reason: 'end_turn', steps: 1, usage });
    expect(chat.exchanges).toHaveLength(1);
    const { items, footer } = chat.exchanges[0].transcript!.snapshot();
    expect(items).toMatchObject([{ name: 'pay', state: 'ok' }]);
    expect(footer).toMatchObject({ steps: 2, prompt_tokens: 20, cost: null, stop_reason: 'end_turn' });
    rpc.answers.messages = () => [message(1, { run_id: 'run-1' }), message(2, { run_id: 'run-2' })];
    chat.invalidate();
    await settle();
    expect(chat.past).toEqual([]); // it is all in the bubble
  });

  it('asks again when the agent could not be told', async () => {
    rpc.answers.approve = () => {
      throw new Error('Nobody waits.');
    };
    rpc.answers.pending = () => [CALL];
    chat.invalidate();
    await settle();
    await chat.decide({ call_id: 'c1', approve: true });
    expect(chat.error).toBe('Nobody waits.');
    expect(chat.waiting).toEqual([CALL]);
    expect(chat.decisions.size).toBe(0);
  });

  it('forgets a question that somebody answered elsewhere', () => {
    const happen = (event: { type: string; [field: string]: unknown }, run = 'run-1') =>
      chat.handle({ agent_id: 'agent-ada', run_id: run, event });
    happen(STARTED);
    happen({ type: 'approval_requested', calls: [CALL] });
    happen({ type: 'tool_returned', call_id: 'c1', name: 'pay', status: 'denied', text: 'no' });
    expect(chat.waiting).toEqual([]);
    happen({ type: 'approval_requested', calls: [{ ...CALL, id: 'c2' }] });
    happen({ type: 'run_ended', stop_reason: 'requires_approval' });
    expect(chat.waiting).toHaveLength(1);
    happen(STARTED, 'run-2');
    expect(chat.waiting).toEqual([]);
    expect(chat.exchanges.map(({ transcript }) => transcript?.state)).toEqual(['running']);
  });

  it('says for whom it waits, lets the wait be stopped, and goes on', async () => {
    chat.write('How are you?');
    void chat.send('ada');
    const happen = (event: { type: string } & Record<string, unknown>) =>
      chat.handle({ agent_id: 'agent-ada', run_id: 'run-1', event });
    const text = "ada is busy in the notebook 'b.ipynb'; this goes on when it is free.";
    happen({ type: 'run_queued', agent_name: 'ada', said: 'How are you?', text });
    expect(chat.exchanges.map(({ prompt }) => prompt)).toEqual(['How are you?']);
    expect(chat.exchanges[0].transcript?.snapshot().items).toMatchObject([{ text, waits: true }]);
    await chat.stop();
    expect(rpc.asked).toContainEqual(['cancel', { run: 'run-1' }]);
    happen({ type: 'run_started', agent_name: 'ada' });
    happen({ type: 'text_delta', text: 'Well.' });
    const { items } = chat.exchanges[0].transcript!.snapshot();
    expect(items).toMatchObject([{ kind: 'notice', waits: false }, { kind: 'answer', text: 'Well.' }]);
  });

  it('stops what is running', async () => {
    chat.handle({ agent_id: 'agent-ada', run_id: 'run-9', event: STARTED });
    await chat.stop();
    expect(rpc.asked).toContainEqual(['cancel', { run: 'run-9' }]);
  });
});
