// Talking to an agent: what was said before, the runs as they happen, questions that wait.

import { SHARED, type IBridge, type IRunEvent } from '../../bridge/bridge';
import { messageOf, Part } from './part';
import { Transcript } from '../../ui/transcript';
import type { Ask, IDecision, IMessage, IToolCall } from './records';

/** Messages of the past that are shown above what is new. */
const PAST = 12;
/** The same of somebody else's agent, whose history is nowhere else here. */
const SHARED_PAST = 50;

/** Runs that are kept to look at; all of them are in the history. */
const MOST_RUNS = 30;

/** Events after which other calls wait than before. */
const ABOUT_WAITING = [
  'run_started',
  'approval_requested',
  'tool_started',
  'tool_returned',
  'run_ended'
];

/** Events that are the first of a run. */
const BEGINNINGS = ['run_queued', 'run_started'];

/** An image that goes with a message, as a data URL. */
export interface IImage {
  name: string;
  url: string;
}

/** Something said to the agent and what came of it. */
export interface IExchange {
  key: number;
  /** What was said; null: it was not said here, and is not known yet. */
  prompt: string | null;
  runId: string;
  /** The runs it goes on from, after approvals. */
  before: string[];
  /** Null while it waits for the kernel. */
  transcript: Transcript | null;
  /** Whether it goes on in the Jupyter server. */
  served: boolean;
  error: string;
}

export class ChatModel extends Part {
  /**
   * @param conversation - The thread; null is the agent's own.
   */
  constructor(
    ask: Ask,
    agent: string,
    private talk: IBridge['talk'],
    readonly conversation: string | null = null
  ) {
    super(ask, agent);
  }

  past: IMessage[] = [];
  exchanges: IExchange[] = [];
  /** What is being written; it stays when another agent is looked at. */
  draft = '';
  /** Images that go with it. */
  images: readonly IImage[] = [];
  /** What waits for a decision. */
  waiting: IToolCall[] = [];
  readonly decisions = new Map<string, IDecision>();

  /** The run that goes on, if there is one. */
  get running(): IExchange | null {
    return this.exchanges.find(({ transcript }) => transcript?.state === 'running') ?? null;
  }

  write(text: string): void {
    this.draft = text;
    this.emit();
  }

  setImages(images: readonly IImage[]): void {
    this.images = images;
    this.emit();
  }

  /** Say something to the agent. */
  async send(name: string): Promise<void> {
    const prompt = this.draft.trim();
    if (!prompt) {
      return;
    }
    const images = this.images.map(({ url }) => url);
    this.draft = '';
    this.images = [];
    const exchange = this._add(prompt, '');
    this.emit();
    try {
      await this.talk(name, prompt, this.conversation, images);
    } catch (error) {
      const heard = exchange.transcript;
      if (!heard || heard.state === 'running') {
        exchange.error = messageOf(error); // else the run itself says how it ended
      }
      heard?.close();
    }
    if (!exchange.transcript && !exchange.error) {
      // It ran and nothing was heard of it; the history has it.
      this.exchanges = this.exchanges.filter(other => other !== exchange);
      this.invalidate();
    }
    this.emit();
  }

  /** Something is on its way that the message will name. */
  async attach(coming: Promise<void>): Promise<void> {
    await this.act(() => coming);
  }

  /** The id of the message that an exchange began with; empty, and `error` says `gone`, if it is not kept. */
  async messageOf({ runId, before }: IExchange, gone: string): Promise<string> {
    const found = await this._said(before[0] ?? runId);
    await this.act(() => (found ? Promise.resolve() : Promise.reject(new Error(gone))));
    return found?.id ?? '';
  }

  /** Stop what is running. */
  async stop(): Promise<void> {
    const run = this.running?.runId;
    if (run) {
      await this.act(() => this.ask('cancel', { run }));
    }
  }

  /** Decide on one call; when all are decided, the agent is told. */
  async decide(decision: IDecision): Promise<void> {
    this.decisions.set(decision.call_id, decision);
    const calls = this.waiting;
    const decisions = calls.map(call => this.decisions.get(call.id));
    if (calls.length && decisions.every(made => made !== undefined)) {
      // The answer may come as late as the end of the run, which may have more questions.
      this.waiting = [];
      this.decisions.clear();
      const params = { ...this._thread, decisions };
      if (!(await this.act(() => this.ask('approve', params))) && !this.waiting.length) {
        this.waiting = calls;
      }
    }
    this.emit();
  }

  handle({ run_id, event, served }: IRunEvent): void {
    let exchange = this.exchanges.find(({ runId }) => runId === run_id);
    if (!exchange && BEGINNINGS.includes(event.type)) {
      exchange = this._goOn(run_id);
    }
    if (!exchange) {
      exchange = this._add(null, run_id);
      exchange.transcript = new Transcript();
      if (event.type !== 'run_queued') {
        void this._findPrompt(exchange);
      }
    }
    if (event.type === 'run_queued' && !exchange.before.length) {
      this._setPrompt(exchange, String(event.said ?? '')); // it is in no history yet
    }
    exchange.served = served ?? false;
    exchange.transcript?.handle(event);
    if (ABOUT_WAITING.includes(event.type)) {
      this.waiting = exchange.transcript?.waiting ?? [];
      this.decisions.clear();
    }
    this.emit();
  }

  /** What was said here may be no part of the line any more. */
  forget(): void {
    this.exchanges = this.exchanges.filter(({ runId, transcript }) => !runId || transcript?.state === 'running');
    this.waiting = [];
    this.invalidate();
    this.emit();
  }

  /** The kernel is gone: nothing more will be heard of what was going on. */
  lost(): void {
    for (const { transcript, served } of this.exchanges) {
      if (!served) {
        transcript?.close();
      }
    }
    this.waiting = this.running ? this.waiting : [];
    this.invalidate();
    this.emit();
  }

  protected async read(): Promise<void> {
    const limit = this.agent.startsWith(SHARED) ? SHARED_PAST : PAST;
    const params = { ...this._thread, limit, roles: ['user', 'assistant', 'event'] };
    const messages = await this.ask<IMessage[]>('messages', params);
    const seen = new Set(this.exchanges.flatMap(({ runId, before }) => [runId, ...before]));
    this.past = messages.filter(({ run_id }) => !seen.has(run_id ?? ''));
    if (!this.running) {
      this.waiting = await this.ask<IToolCall[]>('pending', this._thread);
    }
  }

  private _add(prompt: string | null, runId: string): IExchange {
    const exchange: IExchange = {
      ...{ key: this._made++, prompt, runId, before: [] },
      ...{ transcript: null, served: false, error: '' }
    };
    this.exchanges = [...this.exchanges, exchange].slice(-MOST_RUNS);
    return exchange;
  }

  /** What waited was decided: another run goes on from there. */
  private _goOn(runId: string): IExchange | undefined {
    const waited = this.exchanges.find(({ transcript }) => transcript?.state === 'waiting');
    if (waited) {
      waited.before.push(waited.runId);
      waited.runId = runId;
    }
    return waited;
  }

  /** A run began: it answers what was said here, or something said in a cell. */
  private async _findPrompt(exchange: IExchange): Promise<void> {
    this._setPrompt(exchange, (await this._said(exchange.runId))?.content ?? '');
    this.emit();
  }

  /** What a run began with. */
  private async _said(runId: string): Promise<IMessage | undefined> {
    const params = { ...this._thread, limit: MOST_RUNS, roles: ['user', 'event'] };
    const messages = await this.ask<IMessage[]>('messages', params).catch(() => []);
    return messages.find(({ run_id }) => run_id === runId);
  }

  /** The thread, as requests name it. */
  private get _thread(): { agent: string; conversation?: string } {
    const { agent, conversation } = this;
    return conversation === null ? { agent } : { agent, conversation };
  }

  private _setPrompt(exchange: IExchange, prompt: string): void {
    exchange.prompt = prompt;
    const said = this.exchanges.find(
      other => !other.transcript && !other.runId && other.prompt === exchange.prompt
    );
    if (said) {
      said.error = '';
      said.runId = exchange.runId;
      said.transcript = exchange.transcript;
      this.exchanges = this.exchanges.filter(other => other !== exchange);
    }
  }

  private _made = 0;
}
