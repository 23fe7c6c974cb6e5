// Everything the panel knows of one agent, each part read when it is looked at.

import type { IBridge, IRunEvent } from '../../bridge';
import { ChatModel, type IExchange } from './chat';
import { ConversationsModel } from './conversations';
import { MemoryModel } from './memory';
import type { Part } from './part';
import { ArchiveModel, ContextModel, DebuggerModel, MessagesModel, RunsModel, ToolsModel } from './parts';
import { PlotModel, type PlotKind } from './plot';
import { TimelineModel } from './timeline';

export const SECTIONS = [
  'chat',
  'memory',
  'context',
  'tools',
  'archive',
  'messages',
  'runs',
  'timeline',
  'debugger'
] as const;
type Section = (typeof SECTIONS)[number];

/** Which parts show what a change is about. */
export const AFFECTED: Record<string, (Section | 'conversations')[]> = {
  agents: ['context', 'timeline', 'debugger'],
  branches: ['timeline', 'messages', 'context'],
  debugger: ['debugger'],
  blocks: ['memory', 'context'],
  sleeps: ['memory'],
  conversations: ['conversations'],
  messages: ['messages', 'context'],
  runs: ['runs', 'tools', 'timeline'],
  passages: ['archive'],
  tools: ['tools', 'context']
};

/** The sections that plots are in, and what changes them. */
const PLOTS: [PlotKind, Section, string[]][] = [
  ['memory', 'memory', ['blocks', 'passages', 'runs']],
  ['context', 'context', ['runs', 'branches']],
  ['retrieval', 'archive', ['passages', 'runs']],
  ['tokens', 'runs', ['runs']],
  ['branches', 'timeline', ['agents', 'branches', 'runs']]
];

export class AgentModel {
  /**
   * @param onChosen - Hears that another of its conversations is looked at.
   */
  constructor(
    readonly id: string,
    bridge: IBridge,
    onChosen: () => void
  ) {
    this._ask = (method, params) => bridge.request(method, params);
    this._talk = (...said) => bridge.talk(...said);
    this.conversations = new ConversationsModel(this._ask, id, onChosen);
    this.memory = new MemoryModel(this._ask, id);
    this.context = new ContextModel(this._ask, id);
    this.tools = new ToolsModel(this._ask, id);
    this.archive = new ArchiveModel(this._ask, id);
    this.messages = new MessagesModel(this._ask, id);
    this.runs = new RunsModel(this._ask, id);
    this.timeline = new TimelineModel(this._ask, id);
    this.debugger = new DebuggerModel(this._ask, id);
    const plots = PLOTS.map(([what]) => [what, new PlotModel(this._ask, id, what)]);
    this.plots = Object.fromEntries(plots) as Record<PlotKind, PlotModel>;
  }

  readonly conversations: ConversationsModel;
  readonly memory: MemoryModel;
  readonly context: ContextModel;
  readonly tools: ToolsModel;
  readonly archive: ArchiveModel;
  readonly messages: MessagesModel;
  readonly runs: RunsModel;
  readonly timeline: TimelineModel;
  readonly debugger: DebuggerModel;
  readonly plots: Readonly<Record<PlotKind, PlotModel>>;

  /** What is said in the conversation that is looked at. */
  get chat(): ChatModel {
    return this._chat(this.conversations.current);
  }

  /** Say what is written. */
  async send(name: string): Promise<void> {
    const { chat } = this;
    const said = chat.draft.trim();
    if (said) {
      void this.conversations.said(said);
      await chat.send(name);
    }
  }

  /**
   * Say something again, the same or otherwise, in a conversation that shares what was said before; the one
   * it was said in stays as it is.
   *
   * @param said - The id of the message, or the exchange that it began.
   * @param gone - What to say where that message is not kept any more.
   */
  async resend(name: string, said: string | IExchange, text: string, gone: string): Promise<void> {
    const id = typeof said === 'string' ? said : await this.chat.messageOf(said, gone);
    if (id && (await this.conversations.fork(id, text))) {
      this.chat.write(text);
      await this.send(name);
    }
  }

  /** Something has happened in one of its runs. */
  handle(happened: IRunEvent): void {
    const { run_id, event } = happened;
    if (event.type === 'run_started' || event.type === 'run_queued') {
      this._threads.set(run_id, (event.conversation as string | null | undefined) ?? null);
    }
    this._chat(this._threads.get(run_id) ?? null).handle(happened);
  }

  /** The kernel is gone. */
  lost(): void {
    this._chats.forEach(chat => chat.lost());
  }

  /** Say which sections are looked at. */
  show(open: ReadonlySet<string>): void {
    for (const section of SECTIONS) {
      if (section !== 'chat') {
        this[section].show(open.has(section));
      }
    }
    PLOTS.forEach(([what, section]) => this.plots[what].show(open.has(section)));
    const { chat } = this;
    this._chats.forEach(one => one.show(one === chat && open.has('chat')));
    this.conversations.show(open.has('chat'));
  }

  invalidate(what: readonly string[]): void {
    for (const [kind, parts] of Object.entries(AFFECTED)) {
      if (what.includes(kind)) {
        parts.forEach(part => (this[part] as Part).invalidate());
      }
    }
    for (const [plot, , kinds] of PLOTS) {
      if (kinds.some(kind => what.includes(kind))) {
        this.plots[plot].invalidate();
      }
    }
    if (what.includes('branches')) {
      this._chat(null).forget(); // the line is another one
    }
  }

  invalidateChats(): void {
    this._chats.forEach(chat => chat.invalidate());
  }

  private _chat(conversation: string | null): ChatModel {
    let chat = this._chats.get(conversation);
    if (!chat) {
      chat = new ChatModel(this._ask, this.id, this._talk, conversation);
      this._chats.set(conversation, chat);
    }
    return chat;
  }

  private readonly _ask: IBridge['request'];
  private readonly _talk: IBridge['talk'];
  private readonly _chats = new Map<string | null, ChatModel>();
  private readonly _threads = new Map<string, string | null>(); // of runs
}
