import { AgentModel } from '../../src/panel/model/agent';
import { KernelRpc, message, settle } from './rpc';

const talk = (id: string, title: string) => ({ id, title, created_at: '', last_message_at: null });

describe('the conversations of an agent', () => {
  let rpc: KernelRpc;
  let agent: AgentModel;
  let all: ReturnType<typeof talk>[];
  const asked = (method: string) => rpc.asked.filter(([name]) => name === method).map(([, p]) => p);

  beforeEach(async () => {
    all = [talk('conv-1', 'Lisbon')];
    rpc = new KernelRpc({
      conversations: () => all,
      'conversation.create': () => all[all.push(talk('conv-2', '')) - 1],
      'conversation.fork': ({ title }) => all[all.push(talk('conv-3', title)) - 1],
      'conversation.rename': ({ conversation, title }) => {
        all = all.map(one => (one.id === conversation ? { ...one, title } : one));
      },
      'conversation.delete': ({ conversation }) => {
        all = all.filter(({ id }) => id !== conversation);
      }
    });
    agent = new AgentModel('agent-ada', rpc, () => agent.show(new Set(['chat'])));
    agent.show(new Set(['chat']));
    await settle();
  });

  it('have what is said in each of them', async () => {
    const { conversations } = agent;
    const own = agent.chat;
    conversations.choose('conv-1');
    expect(agent.chat).not.toBe(own);
    agent.chat.write('Hello');
    void agent.send('ada');
    await settle();
    expect(rpc.said).toEqual([['ada', 'Hello', 'conv-1']]);
    const event = { type: 'run_started', conversation: 'conv-1' };
    agent.handle({ agent_id: 'agent-ada', run_id: 'run-1', event });
    agent.handle({ agent_id: 'agent-ada', run_id: 'run-2', event: { type: 'run_started' } });
    agent.handle({ agent_id: 'agent-ada', run_id: 'run-1', event: { type: 'text_delta', text: 'x' } });
    expect(agent.chat.exchanges.map(({ runId }) => runId)).toContain('run-1');
    expect(own.exchanges.map(({ runId }) => runId)).toEqual(['run-2']);
  });

  it('are called by what is said first, and as a person says', async () => {
    await agent.conversations.create();
    expect(agent.conversations.current).toBe('conv-2');
    agent.chat.write('Plan  a\ntrip');
    void agent.send('ada');
    await settle();
    expect(asked('conversation.rename')).toEqual([
      { conversation: 'conv-2', title: 'Plan a trip' }
    ]);
    agent.chat.write('More');
    void agent.send('ada');
    await settle();
    expect(asked('conversation.rename')).toHaveLength(1);
  });

  it('fork before what is said again, and the old one stays', async () => {
    agent.conversations.choose('conv-1');
    void agent.resend('ada', 'message-4', 'Otherwise', 'gone');
    await settle();
    expect(asked('conversation.fork')).toEqual([
      { agent: 'agent-ada', conversation: 'conv-1', before: 'message-4', title: 'Lisbon (2)' }
    ]);
    expect(rpc.said).toEqual([['ada', 'Otherwise', 'conv-3']]);
    expect(agent.conversations.items.map(({ id }) => id)).toContain('conv-1');
  });

  it('say nothing again that is not kept', async () => {
    const exchange = { key: 1, prompt: 'x', runId: 'run-9', before: [], served: false, error: '' };
    await agent.resend('ada', { ...exchange, transcript: null }, 'x', 'It is gone.');
    expect(rpc.said).toEqual([]);
    expect(agent.chat.error).toBe('It is gone.');
  });

  it('are found by their titles and by what was said', async () => {
    rpc.answers['messages.search'] = () => [message(3, { conversation_id: 'conv-1' })];
    await agent.conversations.search('  lis ');
    expect(agent.conversations.named.map(({ id }) => id)).toEqual(['conv-1']);
    expect(agent.conversations.hits).toHaveLength(1);
    await agent.conversations.search('');
    expect(agent.conversations.hits).toEqual([]);
  });

  it('are left for the first one when they are deleted, here or elsewhere', async () => {
    agent.conversations.choose('conv-1');
    await agent.conversations.remove('conv-1');
    expect(agent.conversations.current).toBeNull();
    await agent.conversations.create();
    all = [];
    agent.invalidate(['conversations']);
    await settle();
    expect(agent.conversations.current).toBeNull();
  });
});
