// The conversations of an agent: which there are, and the one that is looked at.

import { Part } from './part';
import type { Ask, IConversation, IMessage } from './records';

/** Messages that a search finds at most. */
const FOUND = 20;

/** As much of the first message as a conversation is called by. */
const TITLE = 60;

export class ConversationsModel extends Part {
  /**
   * @param onChosen - Hears that another conversation is looked at.
   */
  constructor(
    ask: Ask,
    agent: string,
    private onChosen: () => void
  ) {
    super(ask, agent);
  }

  /** Those beside the agent's own thread, the one last talked in first. */
  items: IConversation[] = [];
  /** The one that is looked at; null is the agent's own thread. */
  current: string | null = null;
  query = '';
  /** Messages that were found, best first. */
  hits: IMessage[] = [];

  choose(id: string | null): void {
    if (id !== this.current) {
      this.current = id;
      this.onChosen();
    }
    this.emit();
  }

  titleOf(id: string | null): string {
    return this.items.find(one => one.id === id)?.title ?? '';
  }

  /** Those whose title has what is looked for in it. */
  get named(): IConversation[] {
    const wanted = this.query.toLowerCase();
    return this.items.filter(({ title }) => title.toLowerCase().includes(wanted));
  }

  async search(query: string): Promise<void> {
    this.query = query.trim();
    this.hits = [];
    await this.act(async () => {
      const params = { agent: this.agent, query: this.query, limit: FOUND };
      const hits = this.query ? await this.ask<IMessage[]>('messages.search', params) : [];
      if (params.query === this.query) {
        this.hits = hits;
      }
    });
  }

  async create(): Promise<boolean> {
    return this._begin('conversation.create', {});
  }

  /**
   * Go on from what the current one holds, in another; the current one stays as it is.
   *
   * @param before - The id of a message of it; what was said from there on is left out.
   */
  async fork(before?: string, said = ''): Promise<boolean> {
    const conversation = this.current ?? undefined;
    const title = this._free(this.titleOf(this.current) || titled(said));
    return this._begin('conversation.fork', { conversation, before, title });
  }

  async rename(id: string, title: string): Promise<boolean> {
    return this.act(async () => {
      await this.ask('conversation.rename', { conversation: id, title });
      await this.read();
    });
  }

  async remove(id: string): Promise<boolean> {
    return this.act(async () => {
      await this.ask('conversation.delete', { conversation: id });
      if (id === this.current) {
        this.choose(null);
      }
      await this.read();
    });
  }

  /** Something is said in the current one: if it has no title, that is what it is called by. */
  async said(text: string): Promise<void> {
    const id = this.current;
    if (id !== null && this.items.some(one => one.id === id && !one.title)) {
      await this.rename(id, titled(text));
    }
  }

  protected async read(): Promise<void> {
    this.items = await this.ask<IConversation[]>('conversations', { agent: this.agent });
    if (this.current !== null && !this.items.some(({ id }) => id === this.current)) {
      this.choose(null); // it was deleted
    }
  }

  private _begin(method: string, params: object): Promise<boolean> {
    return this.act(async () => {
      const made = await this.ask<IConversation>(method, { agent: this.agent, ...params });
      this.items = [made, ...this.items];
      this.choose(made.id);
    });
  }

  /** A title that no other has. */
  private _free(title: string): string {
    const stem = title.replace(/ \(\d+\)$/, '');
    const taken = new Set(this.items.map(one => one.title));
    let number = 2;
    while (taken.has(`${stem} (${number})`)) {
      number++;
    }
    return stem && `${stem} (${number})`;
  }
}

/** What a conversation is called that begins with a text. */
function titled(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > TITLE ? line.slice(0, TITLE - 1) + '…' : line;
}
