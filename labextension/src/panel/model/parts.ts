// What an agent's context window, tools, archive, messages and runs are, as the panel shows them.

import { Part } from './part';
import type {
  IContext,
  ICost,
  IMessage,
  IOutcome,
  IPassage,
  IRun,
  IStep,
  ITool
} from './records';

const PAGE = 30;
const MOST = 200;

/** What fills the context window. */
export class ContextModel extends Part {
  context: IContext | null = null;

  protected async read(): Promise<void> {
    this.context = await this.ask<IContext>('context', { agent: this.agent });
  }
}

export class ToolsModel extends Part {
  tools: ITool[] = [];

  /** Run a tool by hand. */
  run(name: string, given: Record<string, unknown>): Promise<IOutcome> {
    return this.ask<IOutcome>('tool.run', { agent: this.agent, name, arguments: given });
  }

  detach(name: string): Promise<boolean> {
    return this.act(async () => {
      await this.ask('tool.detach', { agent: this.agent, name });
      await this.read();
    });
  }

  protected async read(): Promise<void> {
    this.tools = await this.ask<ITool[]>('tools', { agent: this.agent });
  }
}

/** A list that is read in pages from its newest end. */
abstract class Pages<T extends { id: string }> extends Part {
  /** Newest first. */
  items: T[] = [];
  /** Whether there are older ones. */
  more = false;

  async loadOlder(): Promise<void> {
    await this.act(async () => {
      const older = await this.page(PAGE, this.items[this.items.length - 1]);
      const known = new Set(this.items.map(item => item.id));
      this.items = [...this.items, ...older.filter(item => !known.has(item.id))];
      this.more = older.length === PAGE;
    });
  }

  /** The newest, or the newest of those before `before`. */
  protected abstract page(limit: number, before?: T): Promise<T[]>;

  protected async read(): Promise<void> {
    // As many as were there, so that nobody loses their place.
    const limit = Math.min(Math.max(PAGE, this.items.length), MOST);
    await this.take(this.page(limit), limit);
  }

  /** Show what comes, unless something else was asked for meanwhile. */
  protected async take(coming: Promise<T[]>, limit: number): Promise<void> {
    const turn = ++this._turn;
    const items = await coming;
    if (turn === this._turn) {
      this.items = items;
      this.more = items.length === limit;
    }
  }

  private _turn = 0;
}

/** Pages that can be searched. While there is a query, the items are what it found, best first. */
abstract class Searched<T extends { id: string }> extends Pages<T> {
  query = '';

  async search(query: string): Promise<void> {
    this.query = query.trim();
    await this.act(() => this.read());
  }

  protected abstract find(query: string): Promise<T[]>;

  protected override async read(): Promise<void> {
    await (this.query ? this.take(this.find(this.query), Infinity) : super.read());
  }
}

export class ArchiveModel extends Searched<IPassage> {
  tag = '';
  /** Everything, what others have replaced, or what can be restored. */
  view: '' | 'superseded' | 'forgotten' = '';
  readonly chosen = new Set<string>();

  async look(view: ArchiveModel['view']): Promise<void> {
    this.view = view;
    this.chosen.clear();
    this.items = []; // nothing of the other view can be chosen meanwhile
    await this.act(() => this.read());
  }

  choose(id: string): void {
    if (!this.chosen.delete(id)) {
      this.chosen.add(id);
    }
    this.emit();
  }

  /** Forget, restore or tag what is chosen. */
  change(what: 'forget' | 'restore' | 'tag', tags: string[] = []): Promise<boolean> {
    return this.act(async () => {
      await this.ask('passages.' + what, { agent: this.agent, ids: [...this.chosen], tags });
      this.chosen.clear();
      await this.read();
    });
  }

  async filter(tag: string): Promise<void> {
    this.tag = tag;
    await this.act(() => this.read());
  }

  add(text: string, tags: string[]): Promise<boolean> {
    return this.act(async () => {
      await this.ask('passage.add', { agent: this.agent, text, tags });
      await this.read();
    });
  }

  remove(id: string): Promise<boolean> {
    return this.act(async () => {
      await this.ask('passage.delete', { agent: this.agent, id });
      await this.read();
    });
  }

  protected page(limit: number, before?: IPassage): Promise<IPassage[]> {
    const tags = this.tag ? [this.tag] : [];
    const { agent, view } = this;
    return this.ask('passages', { agent, limit, before: before?.id, tags, view });
  }

  protected find(query: string): Promise<IPassage[]> {
    return this.ask('passages.search', { agent: this.agent, query, limit: PAGE });
  }
}

export class MessagesModel extends Searched<IMessage> {
  role: IMessage['role'] | '' = '';

  async filter(role: IMessage['role'] | ''): Promise<void> {
    this.role = role;
    this.items = [];
    await this.act(() => this.read());
  }

  protected async page(limit: number, before?: IMessage): Promise<IMessage[]> {
    const roles = this.role ? { roles: [this.role] } : {};
    const params = { agent: this.agent, limit, before: before?.seq, ...roles };
    return (await this.ask<IMessage[]>('messages', params)).reverse();
  }

  protected find(query: string): Promise<IMessage[]> {
    return this.ask('messages.search', { agent: this.agent, query, limit: PAGE });
  }
}

/** Where the agent's runs stop for a person to look. */
export class DebuggerModel extends Part {
  breakpoints: string[] = [];
  /** Whether runs of this notebook stop everywhere; null: no notebook is there whose they could be. */
  stepping: boolean | null = null;

  /** The run that has stopped in a cell, and what it stopped at. */
  held: { title: string; why: string } | null = null;

  set(changes: { breakpoints?: string[]; stepping?: boolean }): Promise<boolean> {
    return this.act(() => this._take('debugger.set', changes));
  }

  go(action: string): Promise<boolean> {
    return this.act(() => this.ask('debugger.go', { agent: this.agent, action }));
  }

  protected read(): Promise<void> {
    return this._take('debugger', {});
  }

  private async _take(method: string, changes: object): Promise<void> {
    Object.assign(this, await this.ask(method, { agent: this.agent, ...changes }));
  }
}

export class RunsModel extends Pages<IRun> {
  /** The steps of the runs that are open. */
  readonly steps = new Map<string, IStep[]>();
  /** What today's runs took. */
  today: ICost | null = null;

  async toggle(run: string): Promise<void> {
    if (this.steps.delete(run)) {
      this.emit();
      return;
    }
    await this.act(() => this._readSteps(run));
  }

  protected page(limit: number, before?: IRun): Promise<IRun[]> {
    return this.ask('runs', { agent: this.agent, limit, before: before?.id });
  }

  protected override async read(): Promise<void> {
    await super.read();
    this.today = await this.ask<ICost>('cost', { agent: this.agent, since: 'today' });
    await Promise.all(Array.from(this.steps.keys(), run => this._readSteps(run)));
  }

  private async _readSteps(run: string): Promise<void> {
    this.steps.set(run, await this.ask<IStep[]>('steps', { run }));
  }
}
