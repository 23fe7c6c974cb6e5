// One kernel's connection: how it opens, asks, and gets over whatever becomes of the kernel.

import { nullTranslator } from '@jupyterlab/translation';

import type { RpcError } from '../../src/bridge';
import { TIMEOUT } from '../../src/bridge/protocol';
import { KernelRpc } from '../../src/bridge/rpc';
import { PlayedKernel, settle } from './kernel';
import type { IPlayed } from './kernel';

const trans = nullTranslator.load('letta-kernel');

async function opened(played: IPlayed = {}): Promise<[KernelRpc, PlayedKernel]> {
  const kernel = new PlayedKernel(played);
  const rpc = new KernelRpc(kernel.as(), trans);
  await settle();
  return [rpc, kernel];
}

async function ready(played: IPlayed = {}): Promise<[KernelRpc, PlayedKernel]> {
  const [rpc, kernel] = await opened(played);
  kernel.hello();
  expect(rpc.state).toBe('ready');
  return [rpc, kernel];
}

function failure(promise: Promise<unknown>): Promise<RpcError> {
  return promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: RpcError) => error
  );
}

describe('opening', () => {
  it('opens on a subshell of its own and is ready with the hello', async () => {
    const [rpc, kernel] = await opened();
    expect(rpc.state).toBe('connecting');
    expect(kernel.sent).toHaveLength(1);
    expect(kernel.sent[0]).toMatchObject({ type: 'comm_open', subshell: 'shell-1' });
    kernel.hello({ asking: ['agent-1'] });
    expect(rpc.state).toBe('ready');
    expect([rpc.project, rpc.home, rpc.version]).toEqual(['work', '/w', '0.1.0']);
    expect(rpc.asking).toEqual(['agent-1']);
    rpc.dispose();
    expect(kernel.sent[1].type).toBe('comm_close');
  });

  it('does not disturb a Python kernel without letta-kernel', async () => {
    const [rpc, kernel] = await opened({ name: 'python3', implementation: 'ipython' });
    expect(rpc.state).toBe('plain-python');
    expect(kernel.sent).toEqual([]);
    expect(kernel.deleted).toEqual(['shell-1']);
  });

  it('finds the rpc of a Python kernel in the middle of a cell', async () => {
    jest.useFakeTimers();
    try {
      const [rpc, kernel] = await opened({ name: 'python3', silent: true, sign: true });
      jest.advanceTimersByTime(TIMEOUT.info);
      await settle();
      expect(kernel.sent[0]).toMatchObject({ type: 'comm_open', subshell: 'shell-1' });
      kernel.hello();
      expect(rpc.state).toBe('ready');
      rpc.dispose();
    } finally {
      jest.useRealTimers();
    }
  });

  it('notices that the extension was loaded', async () => {
    const [rpc, kernel] = await opened({ name: 'python3', implementation: 'ipython' });
    kernel.ranCell('1 + 1');
    expect(rpc.state).toBe('plain-python');
    kernel.played.sign = true;
    kernel.ranCell('%load_ext letta_kernel');
    expect(rpc.state).toBe('connecting');
    await settle();
    kernel.hello();
    expect(rpc.state).toBe('ready');
  });

  it('has nothing to do with other languages', async () => {
    const [rpc, kernel] = await opened({ name: 'ir', implementation: 'IRkernel' });
    expect(rpc.state).toBe('none');
    expect(kernel.sent).toEqual([]);
  });

  it('knows an old version without troubling it', async () => {
    const [rpc, kernel] = await opened({ sign: false });
    expect(rpc.state).toBe('old');
    expect(kernel.sent).toEqual([]);
  });

  it('knows an old version by its hello', async () => {
    const [rpc, kernel] = await opened();
    kernel.hello({ protocol: 0 });
    expect(rpc.state).toBe('old');
  });

  it('tries again, and gives up in the end', async () => {
    jest.useFakeTimers();
    try {
      const [rpc, kernel] = await opened();
      for (let i = 0; i < 3; i++) {
        expect(rpc.state).toBe('connecting');
        jest.advanceTimersByTime(TIMEOUT.hello);
      }
      expect(rpc.state).toBe('lost');
      expect(kernel.sent.map(({ type }) => type)).toEqual(Array(3).fill('comm_open'));
    } finally {
      jest.useRealTimers();
    }
  });

  it('does without subshells, and waits for the cell to end then', async () => {
    jest.useFakeTimers();
    try {
      const [rpc, kernel] = await opened({ subshells: false });
      expect(kernel.sent).toEqual([]);
      jest.advanceTimersByTime(TIMEOUT.subshell);
      await settle();
      expect(kernel.sent[0]).toMatchObject({ type: 'comm_open', subshell: null });
      kernel.become('busy');
      jest.advanceTimersByTime(20 * TIMEOUT.hello);
      expect(rpc.state).toBe('connecting');
      kernel.hello();
      expect(rpc.state).toBe('ready');
      rpc.dispose();
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('asking', () => {
  it('answers with what the kernel answered', async () => {
    const [rpc, kernel] = await ready();
    const answer = rpc.request('blocks', { agent: 'ada' });
    expect(kernel.asked).toMatchObject({ method: 'blocks', params: { agent: 'ada' } });
    kernel.answer([{ label: 'human' }]);
    expect(await answer).toEqual([{ label: 'human' }]);
    rpc.dispose();
  });

  it('fails with the one line of the kernel', async () => {
    const [rpc, kernel] = await ready();
    const failed = failure(rpc.request('blocks', { agent: 'ad' }));
    kernel.refuse('NotFoundError', "There is no agent 'ad'. Did you mean 'ada'?");
    const { kind, message } = await failed;
    expect([kind, message]).toEqual(['NotFoundError', "There is no agent 'ad'. Did you mean 'ada'?"]);
    rpc.dispose();
  });

  it('keeps answers apart', async () => {
    const [rpc, kernel] = await ready();
    const first = rpc.request('agents');
    const one = kernel.asked.id as number;
    const second = rpc.request('models');
    kernel.answer('second');
    kernel.say({ type: 'reply', id: one, result: 'first' });
    kernel.say({ type: 'reply', id: 999, result: 'nobody asked' });
    expect(await Promise.all([first, second])).toEqual(['first', 'second']);
    rpc.dispose();
  });

  it('does not wait for ever', async () => {
    jest.useFakeTimers();
    try {
      const [rpc] = await ready();
      const failed = failure(rpc.request('agents'));
      jest.advanceTimersByTime(TIMEOUT.reply);
      expect((await failed).kind).toBe('Timeout');
      rpc.dispose();
    } finally {
      jest.useRealTimers();
    }
  });

  it('puts work on the main thread and asks what came of it', async () => {
    const [rpc, kernel] = await ready();
    kernel.endings.push('aborted'); // a cell before it has failed
    const told = rpc.request('tool.run', { agent: 'ada', name: 'f', arguments: {} });
    kernel.answer({ execute: 'do("t")', ticket: 't' });
    await settle();
    expect(kernel.executed).toEqual(['do("t")', 'do("t")']);
    expect(kernel.asked).toMatchObject({ method: 'job', params: { ticket: 't' } });
    kernel.answer({ status: 'ok', text: '7' });
    expect(await told).toEqual({ status: 'ok', text: '7' });
    rpc.dispose();
  });

  it('is refused while nothing is connected', async () => {
    const [rpc] = await opened();
    expect((await failure(rpc.request('agents'))).kind).toBe('NotConnected');
    rpc.dispose();
  });

  it('says each minute that it is still there', async () => {
    jest.useFakeTimers();
    try {
      const [rpc, kernel] = await ready();
      jest.advanceTimersByTime(2 * TIMEOUT.ping);
      const pings = kernel.sent.filter(({ content }) => (content.data as { type?: string }).type === 'ping');
      expect(pings).toHaveLength(2);
      rpc.dispose();
      jest.advanceTimersByTime(2 * TIMEOUT.ping);
      expect(kernel.sent.filter(({ type }) => type === 'comm_msg')).toHaveLength(2);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('what may become of a kernel', () => {
  it('is opened again after a restart', async () => {
    const [rpc, kernel] = await ready();
    const failed = failure(rpc.request('agents'));
    const states: string[] = [];
    rpc.stateChanged.connect((_, state) => states.push(state));
    kernel.become('restarting');
    expect((await failed).kind).toBe('Lost');
    kernel.become('starting');
    kernel.become('idle');
    await settle();
    kernel.hello();
    expect(states).toEqual(['connecting', 'ready']);
    rpc.dispose();
  });

  it('is lost when it dies, and back when it was restarted', async () => {
    const [rpc, kernel] = await ready();
    kernel.become('dead');
    expect(rpc.state).toBe('lost');
    kernel.become('restarting');
    kernel.become('idle');
    await settle();
    kernel.hello();
    expect(rpc.state).toBe('ready');
    rpc.dispose();
  });

  it('is asked anew when the connection was cut', async () => {
    const [rpc, kernel] = await ready();
    kernel.connection('connecting');
    expect(rpc.state).toBe('ready'); // it may be back in a moment
    kernel.connection('connected');
    expect(rpc.state).toBe('connecting');
    await settle();
    kernel.hello();
    expect(rpc.state).toBe('ready');
    kernel.connection('disconnected');
    expect(rpc.state).toBe('lost');
    rpc.dispose();
  });

  it('opens another rpc when the kernel took this one for gone', async () => {
    const [rpc, kernel] = await ready();
    const first = kernel.comm;
    kernel.say({ type: 'bye' });
    expect(rpc.state).toBe('connecting');
    await settle();
    expect(kernel.comm).not.toBe(first);
    kernel.hello();
    expect(rpc.state).toBe('ready');
    rpc.dispose();
  });

  it('passes on what happens, and who asks', async () => {
    const [rpc, kernel] = await ready();
    const heard: unknown[] = [];
    rpc.events.connect((_, event) => heard.push(event.event.type));
    rpc.changed.connect((_, change) => heard.push(change.what));
    rpc.askingChanged.connect(() => heard.push(rpc.asking));
    kernel.happen('r', 0, 1, 'run_started');
    kernel.say({ type: 'changed', what: ['runs'], agents: null });
    kernel.say({ type: 'asking', agents: ['a'] });
    kernel.say({ type: 'of a later version' });
    kernel.become('dead');
    expect(heard).toEqual(['run_started', ['runs'], ['a'], []]);
    rpc.dispose();
  });

  it('passes each event on once and in order, and asks for what it has missed', async () => {
    const [rpc, kernel] = await ready();
    const heard: string[] = [];
    rpc.events.connect((_, { run_id, event }) => heard.push(`${run_id} ${event.type}`));
    const asked = () =>
      kernel.sent
        .map(({ content }) => content.data as { type?: string; run_id: string; after: number })
        .filter(data => data?.type === 'follow')
        .map(({ run_id, after }) => `${run_id} ${after}`);
    kernel.happen('r', 0, 2, 'a', 'b');
    kernel.happen('s', 7, 9, 'x'); // it began before anybody listened
    expect(asked()).toEqual(['s 0']);
    kernel.happen('s', 9, 10, 'y'); // what was asked for is on its way
    kernel.happen('s', 0, 8, 'u', 'v');
    expect(asked()).toEqual(['s 0', 's 8']); // the answer was older than what was passed over
    kernel.happen('s', 8, 10, 'w', 'y');
    kernel.happen('r', 0, 2, 'a', 'b');
    kernel.happen('r', 2, 3, 'c');
    expect(heard).toEqual(['r a', 'r b', 's u', 's v', 's w', 's y', 'r c']);
    expect(asked()).toHaveLength(2);
    rpc.dispose();
  });

  it('answers what the kernel asks of the page, or says by name why not', async () => {
    const [rpc, kernel] = await ready();
    kernel.say({ type: 'ask', id: 'q1', method: 'document.read', params: {} });
    await settle();
    expect(kernel.asked).toMatchObject({ type: 'answer', id: 'q1', error: { name: 'Closed' } });
    rpc.answerer = async (method, params) => {
      if (params.wrong) {
        throw Object.assign(new Error('Read it again.'), { name: 'Changed' });
      }
      return { method };
    };
    kernel.say({ type: 'ask', id: 'q2', method: 'document.read', params: {} });
    await settle();
    expect(kernel.asked).toEqual({ type: 'answer', id: 'q2', result: { method: 'document.read' } });
    kernel.say({ type: 'ask', id: 'q3', method: 'document.apply', params: { wrong: true } });
    await settle();
    const error = { name: 'Changed', message: 'Read it again.' };
    expect(kernel.asked).toEqual({ type: 'answer', id: 'q3', error });
    const sent = kernel.sent.length;
    kernel.become('dead');
    rpc.tell({ type: 'document' });
    expect(kernel.sent).toHaveLength(sent);
  });

  it('knows the live views of before the page, and no others, when they close', async () => {
    const [, kernel] = await ready();
    expect(kernel.closes('view')).toBe(false);
    kernel.hello({ views: ['view', 'layout'] });
    expect(kernel.closes('view')).toBe(true);
    expect(kernel.closes('layout')).toBe(true);
    expect(kernel.closes("somebody else's")).toBe(false);
    kernel.comms.add('known');
    expect(kernel.closes('known')).toBe(true);
  });

  it('takes what closes before the hello for a view of before the page', async () => {
    const kernel = new PlayedKernel();
    new KernelRpc(kernel.as(), trans);
    expect(kernel.closes('view')).toBe(true);
    const plain = new PlayedKernel({ name: 'python3', implementation: 'ipython', sign: false });
    new KernelRpc(plain.as(), trans);
    await settle();
    expect(plain.closes('view')).toBe(false);
  });
});
