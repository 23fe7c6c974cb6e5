// What is said with whoever answers for a project: a kernel, or the Jupyter server.

import type { JSONObject } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { Disposable } from '../disposable';
import { Followed, type IEvents } from '../ui/followed';
import type { Trans } from '../ui/words';
import { RpcError } from './bridge';
import type { BridgeState, IChanged, IRunEvent } from './bridge';
import { Requests } from './requests';

/** What the hello must say at least. */
const PROTOCOL = 1;

/** How long to wait for things, in milliseconds. */
export const TIMEOUT = { info: 2_000, subshell: 5_000, open: 10_000, hello: 30_000, reply: 60_000, ping: 60_000 };

/** Runs that have ended and are remembered, in case their talk hears of it late. */
const REMEMBERED = 100;

/** Milliseconds between two looks. */
const LOOK = 50;

/** Answers that take as long as what they run. */
const ENDLESS = new Set(['tool.run', 'context', 'agent.import', 'agent.export', 'passage.add']);

export interface IHello {
  protocol?: number;
  version?: string;
  project?: string;
  home?: string;
  asking?: string[];
  /** Comms of views that are live now. */
  views?: string[];
}

/** Answers what is asked of the page; what it rejects with is told by name and message. */
export type Answerer = (method: string, params: JSONObject) => Promise<unknown>;

/** A connection over which agents are asked about and heard of. */
export abstract class PanelRpc extends Disposable {
  constructor(protected readonly trans: Trans) {
    super();
  }

  get state(): BridgeState {
    return this._state;
  }

  get stateChanged(): ISignal<this, BridgeState> {
    return this._stateChanged;
  }

  /** Resolves when it is open, cannot be opened, or that takes very long. */
  async opened(): Promise<void> {
    const until = Date.now() + TIMEOUT.hello;
    while (this._state === 'connecting' && Date.now() < until && !this.isDisposed) {
      await new Promise(resolve => window.setTimeout(resolve, LOOK));
    }
  }

  get events(): ISignal<this, IRunEvent> {
    return this._events;
  }

  get changed(): ISignal<this, IChanged> {
    return this._changed;
  }

  /** The agents that cells wait with for a word. */
  get asking(): readonly string[] {
    return this._asking;
  }

  get askingChanged(): ISignal<this, void> {
    return this._askingChanged;
  }

  get project(): string {
    return this._hello.project ?? '';
  }

  /** The project's folder, which tells projects of one name apart. */
  get home(): string {
    return this._hello.home ?? '';
  }

  get version(): string {
    return this._hello.version ?? '';
  }

  protected release(): void {
    this.close();
    window.clearInterval(this._pings);
    this.fail(this.gone);
  }

  /** Ask something; rejects with a `RpcError`. */
  async request<T>(method: string, params: object = {}): Promise<T> {
    return (await this.ask(method, params)) as T;
  }

  /** Say something to an agent; resolves when the run has ended, or waits for somebody's word. */
  async talk(params: {
    agent: string;
    text: string;
    conversation?: string;
    images?: readonly string[];
  }): Promise<void> {
    const thread = `${params.agent}/${params.conversation ?? ''}`;
    const before = this._talks.get(thread) ?? Promise.resolve();
    const talk = before.then(() => this._talk(params));
    this._talks.set(
      thread,
      talk.catch(() => undefined)
    );
    await talk;
  }

  /** What answers the other side's questions. */
  answerer: Answerer | null = null;

  /** Say something that is not answered; nothing while there is nobody to hear it. */
  tell(data: object): void {
    if (this.state === 'ready' && this.reachable) {
      this.send(data as JSONObject);
    }
  }

  protected ask(method: string, params: object): Promise<unknown> {
    const { trans } = this;
    if (this._state !== 'ready') {
      return Promise.reject(new RpcError('NotConnected', this.unconnected));
    }
    const send = (id: number) => this.send({ type: 'request', id, method, params } as JSONObject);
    const timeout = ENDLESS.has(method) ? null : TIMEOUT.reply;
    return this._requests.ask(send, timeout, trans.__('There was no answer in time.'));
  }

  /** Something was said by the other side. */
  protected take(data: JSONObject): void {
    switch (data.type) {
      case 'hello':
        this.welcomed(data as IHello);
        break;
      case 'reply':
        this._requests.answer(data);
        break;
      case 'events':
        this._followed.take(data as unknown as IEvents);
        break;
      case 'changed':
        this._changed.emit(data as unknown as IChanged);
        break;
      case 'asking':
        this.setAsking(data.agents as string[]);
        break;
      case 'ask':
        void this._onAsk(data);
        break;
      case 'bye':
        this.again(); // it took us for gone
        break;
    }
  }

  protected welcomed(hello: IHello): void {
    this._hello = hello;
    if ((hello.protocol ?? 0) < PROTOCOL) {
      this.setState('old');
      return;
    }
    window.clearInterval(this._pings);
    this._pings = window.setInterval(() => this._ping(), TIMEOUT.ping);
    this.setAsking(hello.asking ?? []);
    this.setState('ready');
  }

  protected setState(state: BridgeState): void {
    if (state !== 'ready') {
      window.clearInterval(this._pings);
    }
    if (state !== this._state) {
      this._state = state;
      this._stateChanged.emit(state);
    }
  }

  protected setAsking(agents: readonly string[]): void {
    if (agents.length > 0 || this._asking.length > 0) {
      this._asking = agents;
      this._askingChanged.emit();
    }
  }

  /** Say something beside a run that goes on. */
  note(run_id: string, agent_id: string, text: string): void {
    this.happened({ run_id, agent_id, event: { type: 'notice', level: 'info', text } });
  }

  protected happened(event: IRunEvent): void {
    this._hear(event.run_id, event.agent_id, event.event.type);
    this._events.emit(event);
  }

  /** What was said waits for runs of which no more is heard. */
  protected giveUp(kind: string, text: string): void {
    for (const { reject } of this._waiting.values()) {
      reject(new RpcError(kind, text));
    }
    this._waiting.clear();
  }

  /** The same, and whoever shows such runs is told that they are over. */
  protected ended(kind: string, text: string): void {
    this.giveUp(kind, text);
    const event = { type: 'run_ended', stop_reason: 'error', error: text, steps: 0 };
    for (const [run_id, agent_id] of [...this._going]) {
      this.happened({ run_id, agent_id, event });
    }
  }

  private async _talk(params: object): Promise<void> {
    const { run } = await this.request<{ run: string }>('talk', params);
    if (this._over.includes(run)) {
      return;
    }
    await new Promise<void>((resolve, reject) => this._waiting.set(run, { resolve, reject }));
  }

  private _hear(run: string, agent: string, type: string): void {
    if (type !== 'run_ended') {
      this._going.set(run, agent);
      return;
    }
    this._going.delete(run);
    this._over = [run, ...this._over].slice(0, REMEMBERED);
    this._waiting.get(run)?.resolve();
    this._waiting.delete(run);
  }

  /** Ask for what was missed of the runs that went on when the connection was lost. */
  protected catchUp(): void {
    this._followed.askAgain();
  }

  /** What was asked will not be answered any more; *text* says why. */
  protected fail(text: string): void {
    this._requests.fail(text);
  }

  /** Whether what is sent arrives. */
  protected abstract readonly reachable: boolean;
  /** Why nothing is answered any more. */
  protected abstract readonly gone: string;
  /** Why nothing can be asked now. */
  protected abstract readonly unconnected: string;
  protected abstract send(data: JSONObject): void;
  /** Open the connection once more. */
  protected abstract again(): void;
  protected abstract close(): void;

  private async _onAsk({ id, method, params }: JSONObject): Promise<void> {
    this.tell({ type: 'answer', id, heard: true }); // a page that was closed does not say so
    try {
      if (!this.answerer) {
        throw new RpcError('Closed', this.trans.__('No notebook of this kernel is open here.'));
      }
      const result = await this.answerer(String(method), (params ?? {}) as JSONObject);
      this.tell({ type: 'answer', id, result: result ?? null });
    } catch (error) {
      const { kind, name, message } = error as Partial<RpcError>;
      const said = { name: kind ?? name ?? 'Error', message: message ?? String(error) };
      this.tell({ type: 'answer', id, error: said });
    }
  }

  private _ping(): void {
    this.tell({ type: 'ping' });
  }

  private _state: BridgeState = 'connecting';
  private _hello: IHello = {};
  private _asking: readonly string[] = [];
  private _pings: number | undefined;
  private _talks = new Map<string, Promise<void>>(); // the last one of each thread
  private _going = new Map<string, string>();
  private _over: string[] = [];
  private _waiting = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();
  private readonly _requests = new Requests();
  private readonly _followed = new Followed(
    // Ask for what follows an event of a run, when something was missed.
    (run_id, after) => this.send({ type: 'follow', run_id, after }),
    ({ run_id, agent_id, events }) =>
      events.forEach(event => this.happened({ run_id, agent_id, event }))
  );
  private _stateChanged = new Signal<this, BridgeState>(this);
  private _events = new Signal<this, IRunEvent>(this);
  private _changed = new Signal<this, IChanged>(this);
  private _askingChanged = new Signal<this, void>(this);
}
