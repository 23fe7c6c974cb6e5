// Notifications of calls that wait for a word.

import { Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { Approvals, tellRefusal } from '../../src/bridge/approvals';
import type { Bridge } from '../../src/bridge/follow';
import { Waiting } from '../../src/bridge/waiting';
import { settle } from './kernel';

const trans = nullTranslator.load('letta-kernel');

class PlayedRpc {
  home = '/w';
  asking: string[] = [];
  waiting: Record<string, { id: string; name: string; arguments: string }[]> = {};
  readonly decided: unknown[] = [];
  refusal: Error | null = null;

  async request(method: string, params: { agent: string }): Promise<unknown> {
    if (method === 'agents') {
      return Object.keys(this.waiting).map(id => ({ id, name: id, state: 'waiting' }));
    }
    if (method === 'pending') {
      return this.waiting[params.agent];
    }
    if (this.refusal) {
      throw this.refusal;
    }
    this.decided.push(params);
    this.waiting = {};
    return null;
  }
}

function played(...rpcs: PlayedRpc[]) {
  const bridge = {
    allRpcs: rpcs,
    free: () => rpcs[0],
    rpcsChanged: new Signal<object, void>({}),
    anyChanged: new Signal<object, void>({})
  };
  let shown = 0;
  const waiting = new Waiting(bridge as unknown as Bridge, tellRefusal);
  new Approvals(waiting, trans, () => shown++);
  const look = async () => {
    bridge.anyChanged.emit();
    jest.advanceTimersByTime(1000);
    await settle();
    await settle();
  };
  return { look, waiting, shown: () => shown };
}

const press = (label: string) => {
  const { actions } = Notification.manager.notifications[0].options;
  const event = new MouseEvent('click', { cancelable: true });
  actions!.find(action => action.label === label)!.callback(event);
  return event;
};
const messages = () => Notification.manager.notifications.map(({ message }) => message);
const CALL = { id: 'call-1', name: 'send', arguments: '{"to": "kim"}' };

beforeEach(() => jest.useFakeTimers());

afterEach(() => {
  Notification.dismiss();
  jest.useRealTimers();
});

it('says who wants to call what, once, and passes the answer on', async () => {
  const rpc = new PlayedRpc();
  rpc.waiting = { ada: [CALL] };
  const { look } = played(rpc);
  await look();
  await look();
  expect(messages()).toEqual(['ada asks: may it run send(to="kim")?']);
  press('Approve');
  await settle();
  expect(rpc.decided).toEqual([
    { agent: 'ada', decisions: [{ call_id: 'call-1', approve: true }] }
  ]);
  await look();
  expect(messages()).toEqual([]);
});

it('says of changes of cells how many there are', async () => {
  const rpc = new PlayedRpc();
  const edit = { id: 'c', name: 'notebook_edit', arguments: '{"cell": "one", "source": "x"}' };
  rpc.waiting = { ada: [edit, { ...edit, id: 'd' }] };
  await played(rpc).look();
  expect(messages()).toEqual(['ada proposes 2 changes to a notebook.']);
});

it('goes when somebody has answered elsewhere', async () => {
  const rpc = new PlayedRpc();
  rpc.waiting = { ada: [CALL] };
  const { look } = played(rpc);
  await look();
  expect(messages()).toHaveLength(1);
  rpc.waiting = {};
  await look();
  expect(messages()).toEqual([]);
});

it('answers where the cell waits', async () => {
  const [front, other] = [new PlayedRpc(), new PlayedRpc()];
  front.waiting = { ada: [CALL] };
  other.waiting = { ada: [CALL] };
  other.asking = ['ada'];
  const { look } = played(front, other);
  await look();
  press('Deny');
  await settle();
  expect(front.decided).toEqual([]);
  expect(other.decided).toEqual([
    { agent: 'ada', decisions: [{ call_id: 'call-1', approve: false }] }
  ]);
});

it('stays while more of it is shown, and long calls are cut', async () => {
  const rpc = new PlayedRpc();
  rpc.waiting = { ada: [{ id: 'c', name: 'write', arguments: `{"text": "${'x'.repeat(5000)}"}` }] };
  const { look, shown } = played(rpc);
  await look();
  expect(messages()[0].length).toBeLessThanOrEqual(140);
  expect(press('Show').defaultPrevented).toBe(true);
  expect(shown()).toBe(1);
});

it('says why an answer was refused', async () => {
  const rpc = new PlayedRpc();
  rpc.waiting = { ada: [CALL] };
  rpc.refusal = new Error('Somebody has answered this already.');
  const { look } = played(rpc);
  await look();
  press('Approve');
  await settle();
  expect(messages()).toContain('Somebody has answered this already.');
});

it('tells the agent when all of its calls are decided, and asks again if that is refused', async () => {
  const rpc = new PlayedRpc();
  rpc.waiting = { ada: [CALL, { ...CALL, id: 'call-2' }] };
  const { look, waiting } = played(rpc);
  await look();
  waiting.decide('call-2', { approve: false, reason: 'no' });
  await settle();
  expect(waiting.decision('call-2')).toMatchObject({ approve: false });
  expect(rpc.decided).toEqual([]);
  rpc.refusal = new Error('The kernel is not connected.');
  waiting.decide('call-1', { approve: true, scope: 'run' });
  expect(waiting.waits).toEqual([]);
  await settle();
  expect(waiting.waits).toHaveLength(1);
  expect(waiting.decision('call-2')).toBeNull();
  rpc.refusal = null;
  waiting.decide('call-1', { approve: true, scope: 'run' });
  waiting.decide('call-2', { approve: true });
  await settle();
  const decisions = [
    { call_id: 'call-1', approve: true, scope: 'run' },
    { call_id: 'call-2', approve: true }
  ];
  expect(rpc.decided).toEqual([{ agent: 'ada', decisions }]);
});

it('remembers a word that was given before it was known who waits', async () => {
  const rpc = new PlayedRpc();
  rpc.waiting = { ada: [CALL] };
  const { waiting } = played(rpc);
  waiting.decide('call-1', { approve: true });
  jest.advanceTimersByTime(1000);
  await settle();
  await settle();
  expect(rpc.decided).toHaveLength(1);
  expect(messages()).toEqual([]);
});

it('asks about what waits elsewhere than in a kernel, until it does not', async () => {
  const { waiting } = played();
  const told: unknown[] = [];
  const wait = {
    ...{ key: 'chat', agent: { id: 'ada', name: 'ada' }, calls: [CALL], rpc: null, panel: null },
    answer: async (decisions: unknown) => told.push(decisions)
  };
  const added = waiting.add(wait);
  expect(messages()).toHaveLength(1);
  added.dispose();
  expect(messages()).toEqual([]);
  waiting.add({ ...wait, key: 'again' });
  press('Approve');
  expect(told).toEqual([[{ call_id: 'call-1', approve: true }]]);
});
