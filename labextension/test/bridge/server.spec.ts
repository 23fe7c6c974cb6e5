// The Jupyter server's connection: how it opens, talks, and gets over a lost connection or a restart.

import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import type { JSONObject } from '@lumino/coreutils';

import { ServerRpc } from '../../src/bridge/server';
import { settle } from './kernel';

const trans = nullTranslator.load('letta-kernel');

/** A WebSocket whose other end the tests play. */
class Socket {
  static all: Socket[] = [];

  constructor(readonly url: string) {
    Socket.all.push(this);
  }

  readonly readyState = 1;
  readonly sent: any[] = [];
  onmessage: (event: { data: string }) => void = () => undefined;
  onclose: () => void = () => undefined;

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.onclose();
  }

  say(data: JSONObject): void {
    this.onmessage({ data: JSON.stringify(data) });
  }

  hello(process: string): void {
    this.say({ type: 'hello', protocol: 1, version: '1', project: 'p', home: '/p/.letta', process });
  }

  happen(run_id: string, after: number, ...types: string[]): void {
    const events = types.map(type => ({ type }));
    this.say({ type: 'events', agent_id: 'a', run_id, after, until: after + types.length, events });
  }
}

const last = () => Socket.all[Socket.all.length - 1];

describe('ServerRpc', () => {
  let rpc: ServerRpc;
  let heard: string[];

  beforeEach(() => {
    jest.useFakeTimers();
    Socket.all = [];
    const settings = ServerConnection.makeSettings({
      wsUrl: 'ws://here/base/',
      token: 'secret',
      WebSocket: Socket as never
    });
    rpc = new ServerRpc(settings, 'a folder/b', trans);
    heard = [];
    rpc.events.connect((_, { event }) => heard.push(event.type));
  });

  afterEach(() => {
    rpc.dispose();
    jest.useRealTimers();
  });

  it('names the folder and brings the token', () => {
    expect(last().url).toBe('ws://here/base/letta/panel?folder=a%20folder%2Fb&token=secret');
    expect(rpc.state).toBe('connecting');
    last().hello('one');
    expect([rpc.state, rpc.project, rpc.home]).toEqual(['ready', 'p', '/p/.letta']);
  });

  it('is waited for until it is open', async () => {
    let open = false;
    void rpc.opened().then(() => (open = true));
    await jest.advanceTimersByTimeAsync(1_000);
    expect(open).toBe(false);
    last().hello('one');
    await jest.advanceTimersByTimeAsync(100);
    expect(open).toBe(true);
  });

  it('talks until the run has ended, one message of a thread after the other', async () => {
    last().hello('one');
    const first = rpc.talk({ agent: 'a', text: 'one' });
    const unheard = () => undefined; // these end with the test
    rpc.talk({ agent: 'a', text: 'two' }).catch(unheard);
    rpc.talk({ agent: 'a', text: 'elsewhere', conversation: 'conv-1' }).catch(unheard);
    await settle();
    const texts = () => last().sent.filter(one => one.method).map(one => one.params.text);
    expect(texts()).toEqual(['one', 'elsewhere']);
    last().say({ type: 'reply', id: last().sent.find(one => one.method).id, result: { run: 'r' } });
    await settle();
    last().happen('r', 0, 'run_started', 'run_ended');
    await first;
    await settle();
    expect(texts()).toEqual(['one', 'elsewhere', 'two']);
  });

  it('asks for what it missed when the connection is back', async () => {
    last().hello('one');
    last().happen('r', 0, 'run_started');
    last().happen('s', 0, 'run_started', 'run_ended');
    last().close();
    expect(rpc.state).toBe('lost');
    await expect(rpc.request('agents')).rejects.toThrow('not connected');
    jest.advanceTimersByTime(1000);
    expect(Socket.all).toHaveLength(2);
    last().hello('one');
    expect(last().sent).toEqual([{ type: 'follow', run_id: 'r', after: 1 }]);
    last().happen('r', 1, 'run_ended');
    expect(heard).toEqual(['run_started', 'run_started', 'run_ended', 'run_ended']);
  });

  it('says that runs are no more when the server was restarted', async () => {
    last().hello('one');
    const talk = rpc.talk({ agent: 'a', text: 'one' });
    await settle();
    last().say({ type: 'reply', id: last().sent[0].id, result: { run: 'r' } });
    await settle();
    last().happen('r', 0, 'run_started');
    last().close();
    jest.advanceTimersByTime(1000);
    last().hello('two');
    await expect(talk).rejects.toThrow('restarted');
    expect(heard).toEqual(['run_started', 'run_ended']);
  });
});
