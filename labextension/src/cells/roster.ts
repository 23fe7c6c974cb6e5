// What the cells of a notebook need to know of its kernel: agents, models, the notebook's agent, tools.

import type { NotebookPanel } from '@jupyterlab/notebook';
import { Signal, type ISignal } from '@lumino/signaling';

import { SHARED, type IBridge, type IChanged } from '../bridge/bridge';

/** An agent, as far as cells show it. */
export interface IAgentEntry {
  readonly id: string;
  readonly name: string;
  /** The model that would answer now. */
  readonly answers: string;
}

/** A tool that a cell of the notebook defines. */
export interface IToolEntry {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  /** The JSON schema of its arguments. */
  readonly parameters: IToolParameters;
  /** Where it would run now: "notebook", "sandbox" or "mcp". */
  readonly place: string;
  readonly requires_approval: boolean;
  readonly cell_id: string | null;
  readonly calls: number;
  readonly failures: number;
  readonly last_error: string | null;
  /** Whether the newest call of it ended with an error. */
  readonly failing: boolean;
}

export interface IToolParameters {
  readonly properties?: { readonly [name: string]: unknown };
  readonly required?: readonly string[];
}

interface IModelEntry {
  readonly name: string;
  readonly usable: boolean;
}

/** What is known of one notebook. */
export interface IFacts {
  readonly agents: readonly IAgentEntry[];
  /** The id of the agent that cells without a name talk to. */
  readonly current: string | null;
  readonly models: readonly string[];
  readonly tools: readonly IToolEntry[];
  /** What agents are called that others share: OWNER/NAME. */
  readonly shared?: readonly string[];
}

const NOTHING: IFacts = { agents: [], current: null, models: [], tools: [] };

/** What somebody else's agent is called that cells without a name talk to; empty if an own one is meant. */
export function sharedOf({ current }: IFacts): string {
  return current?.startsWith(SHARED) ? current.slice(SHARED.length) : '';
}

/** What changes in the project are worth asking for; runs change a tool's state. */
const WATCHED = ['agents', 'tools', 'runs', 'notebook'];

/** Keeps the facts of each notebook as they were when it was last in front. */
export class Roster {
  constructor(bridge: IBridge) {
    this._bridge = bridge;
    bridge.stateChanged.connect(this._onState, this);
    bridge.notebookChanged.connect(this._onState, this);
    bridge.changed.connect(this._onChanged, this);
    this._onState();
  }

  /** Emitted with the notebook whose facts are new. */
  get changed(): ISignal<this, NotebookPanel> {
    return this._changed;
  }

  /** The facts of a notebook; null if its kernel has no agents, as far as is known. */
  facts(panel: NotebookPanel): IFacts | null {
    return this._facts.get(panel) ?? null;
  }

  /** Whether the kernel of the notebook in front answers. */
  get ready(): boolean {
    return this._bridge.state === 'ready';
  }

  /** Ask for everything again; the answers come as `changed`. */
  async refresh(): Promise<void> {
    if (this._asking) {
      this._again = true;
      return;
    }
    this._asking = true;
    try {
      do {
        this._again = false;
        await this._ask();
      } while (this._again);
    } finally {
      this._asking = false;
    }
  }

  private async _ask(): Promise<void> {
    const panel = this._bridge.panel;
    if (panel === null || this._bridge.state !== 'ready') {
      return;
    }
    try {
      const [agents, notebook, models, tools] = await Promise.all([
        this._bridge.request<IAgentEntry[]>('agents'),
        this._bridge.request<{ agent: string | null }>('notebook'),
        this._bridge.request<IModelEntry[]>('models'),
        this._bridge.request<IToolEntry[]>('tools')
      ]);
      const usable = models.filter(model => model.usable).map(model => model.name);
      const shared = this._facts.get(panel)?.shared ?? [];
      this._set(panel, { agents, current: notebook.agent, models: usable, tools, shared });
      void this._askShared(panel);
    } catch {
      // The kernel has gone or is busy dying: what was known stands until it is there again.
    }
  }

  /** Ask what others share, by itself: a server far away may take its time. */
  private async _askShared(panel: NotebookPanel): Promise<void> {
    const found = await this._bridge
      .request<{ agents: IAgentEntry[] }>('shared')
      .catch(() => null); // an older kernel knows of none
    const facts = this._facts.get(panel);
    if (found && facts && found.agents.length + (facts.shared?.length ?? 0) > 0) {
      this._set(panel, { ...facts, shared: found.agents.map(({ name }) => name) });
    }
  }

  private _onState(): void {
    const panel = this._bridge.panel;
    if (panel === null) {
      return;
    }
    if (this._bridge.state === 'ready') {
      void this.refresh();
    } else if (this._bridge.state === 'plain-python' || this._bridge.state === 'old') {
      this._set(panel, null);
    }
  }

  private _onChanged(_: IBridge, change: IChanged): void {
    if (change.what.some(what => WATCHED.includes(what))) {
      void this.refresh();
    }
  }

  private _set(panel: NotebookPanel, facts: IFacts | null): void {
    if (panel.isDisposed) {
      return;
    }
    if (facts === null) {
      this._facts.delete(panel);
    } else {
      this._facts.set(panel, { ...NOTHING, ...facts });
    }
    this._changed.emit(panel);
  }

  private _bridge: IBridge;
  private _facts = new WeakMap<NotebookPanel, IFacts>();
  private _changed = new Signal<this, NotebookPanel>(this);
  private _asking = false;
  private _again = false;
}
