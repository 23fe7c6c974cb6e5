// Notifications of calls that wait for a word.

import { Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { Approvals } from '../../src/bridge/approvals';
import type { Bridge } from '../../src/bridge/follow';
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
    desks,
    desksChanged: new Signal<object, void>({}),
    anyChanged: new Signal<object, void>({})
  };
  let shown = 0;
  new Approvals(bridge as unknown as Bridge, trans, () => shown++);
  const look = async () => {
    bridge.anyChanged.emit();
    jest.advanceTimersByTime(1000);
    await settle();
    await settle();
  };
  return { look, shown: () => shown };
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
