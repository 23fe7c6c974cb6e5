// Notifications of calls that wait for a word.

import { Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { Approvals, tellRefusal } from '../../src/bridge/approvals';
import type { Bridge } from '../../src/bridge/follow';
import { Waiting } from '../../src/bridge/waiting';
import { settle } from './kernel';

const trans = nullTranslator.load('letta-kernel');

class PlayedDesk {
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

function played(...desks: PlayedDesk[]) {
  const bridge = {
    allDesks: desks,
    free: () => desks[0],
    desksChanged: new Signal<object, void>({}),
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
  const desk = new PlayedDesk();
  desk.waiting = { ada: [CALL] };
  const { look } = played(desk);
  await look();
  await look();
  expect(messages()).toEqual(['ada asks: may it run send(to="kim")?']);
  press('Approve');
  await settle();
  expect(desk.decided).toEqual([
    { agent: 'ada', decisions: [{ call_id: 'call-1', approve: true }] }
  ]);
  await look();
  expect(messages()).toEqual([]);
});

it('says of changes of cells how many there are', async () => {
  const desk = new PlayedDesk();
  const edit = { id: 'c', name: 'notebook_edit', arguments: '{"cell": "one", "source": "x"}' };
  desk.waiting = { ada: [edit, { ...edit, id: 'd' }] };
  await played(desk).look();
  expect(messages()).toEqual(['ada proposes 2 changes to a notebook.']);
});

it('goes when somebody has answered elsewhere', async () => {
  const desk = new PlayedDesk();
  desk.waiting = { ada: [CALL] };
  const { look } = played(desk);
  await look();
  expect(messages()).toHaveLength(1);
  desk.waiting = {};
  await look();
  expect(messages()).toEqual([]);
});

it('answers where the cell waits', async () => {
  const [front, other] = [new PlayedDesk(), new PlayedDesk()];
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
  const desk = new PlayedDesk();
  desk.waiting = { ada: [{ id: 'c', name: 'write', arguments: `{"text": "${'x'.repeat(5000)}"}` }] };
  const { look, shown } = played(desk);
  await look();
  expect(messages()[0].length).toBeLessThanOrEqual(140);
  expect(press('Show').defaultPrevented).toBe(true);
  expect(shown()).toBe(1);
});

it('says why an answer was refused', async () => {
  const desk = new PlayedDesk();
  desk.waiting = { ada: [CALL] };
  desk.refusal = new Error('Somebody has answered this already.');
  const { look } = played(desk);
  await look();
  press('Approve');
  await settle();
  expect(messages()).toContain('Somebody has answered this already.');
});

it('tells the agent when all of its calls are decided, and asks again if that is refused', async () => {
  const desk = new PlayedDesk();
  desk.waiting = { ada: [CALL, { ...CALL, id: 'call-2' }] };
  const { look, waiting } = played(desk);
  await look();
  waiting.decide('call-2', { approve: false, reason: 'no' });
  await settle();
  expect(waiting.decision('call-2')).toMatchObject({ approve: false });
  expect(desk.decided).toEqual([]);
  desk.refusal = new Error('The kernel is not connected.');
  waiting.decide('call-1', { approve: true, scope: 'run' });
  expect(waiting.waits).toEqual([]);
  await settle();
  expect(waiting.waits).toHaveLength(1);
  expect(waiting.decision('call-2')).toBeNull();
  desk.refusal = null;
  waiting.decide('call-1', { approve: true, scope: 'run' });
  waiting.decide('call-2', { approve: true });
  await settle();
  const decisions = [
    { call_id: 'call-1', approve: true, scope: 'run' },
    { call_id: 'call-2', approve: true }
  ];
  expect(desk.decided).toEqual([{ agent: 'ada', decisions }]);
});

it('remembers a word that was given before it was known who waits', async () => {
  const desk = new PlayedDesk();
  desk.waiting = { ada: [CALL] };
  const { waiting } = played(desk);
  waiting.decide('call-1', { approve: true });
  jest.advanceTimersByTime(1000);
  await settle();
  await settle();
  expect(desk.decided).toHaveLength(1);
  expect(messages()).toEqual([]);
});

it('asks about what waits elsewhere than in a kernel, until it does not', async () => {
  const { waiting } = played();
  const told: unknown[] = [];
  const wait = {
    ...{ key: 'chat', agent: { id: 'ada', name: 'ada' }, calls: [CALL], desk: null, panel: null },
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
