// The panel's model: the agents of the project behind the notebook in front, and the chosen one.

import type { IBridge, IChanged, IRunEvent } from '../../bridge';
import { meaning } from '../../ui/stopReasons';
import { AFFECTED, AgentModel } from './agent';
import { messageOf, Observable } from './part';
import type { AgentStatus, IAgent, ISharedAgents } from './records';

/** What the panel remembers after a reload. */
export interface IRemembered {
  /** The path of a notebook and the agent chosen there instead of its own, the last choice first. */
  choices: [string, string][];
  open: string[];
}

const MOST_CHOICES = 50;

export class PanelModel extends Observable {
  constructor(readonly bridge: IBridge) {
    super();
    bridge.stateChanged.connect(this._onState, this);
    bridge.notebookChanged.connect(this._onState, this);
    bridge.changed.connect(this._onChanged, this);
    bridge.events.connect(this._onEvent, this);
  }

  agents: IAgent[] = [];
  /** What others share: asked for by itself, since a server far away may take its time. */
  shared: ISharedAgents = NOBODY;
  chosen: AgentModel | null = null;
  /** The id of the agent that the cells of the notebook in front talk to. */
  current: string | null = null;
  /** Whether the agents have been read since the kernel was connected. */
  loaded = false;
  error = '';
  readonly open = new Set<string>(['chat', 'memory']);

  /** What a later session takes up. */
  get remembered(): IRemembered {
    return { choices: this._choices, open: Array.from(this.open) };
  }

  /** Take up where the last session ended. */
  restore(remembered: Partial<IRemembered>): void {
    const { choices, open } = remembered;
    if (Array.isArray(choices)) {
      this._choices = choices
        .filter(one => Array.isArray(one) && one.every(part => typeof part === 'string'))
        .slice(0, MOST_CHOICES);
    }
    if (Array.isArray(open)) {
      this.open.clear();
      open.filter(name => typeof name === 'string').forEach(name => this.open.add(name));
    }
    this._choose();
    this.emit();
  }

  /** Say whether the panel is on the screen. */
  show(shown: boolean): void {
    this._shown = shown;
    if (shown) {
      this.bridge.look();
    }
    this.refresh();
    this._showParts();
  }

  get agent(): IAgent | null {
    return this.all.find(({ id }) => id === this.chosen?.id) ?? null;
  }

  /** Own agents, then those of others. */
  get all(): readonly IAgent[] {
    return [...this.agents, ...this.shared.agents];
  }

  /** Look at an agent; at the notebook's own one from then on, if it is that. */
  choose(id: string): void {
    const here = this._notebook;
    const others = this._choices.filter(([notebook]) => notebook !== here);
    const own = id === this.current;
    this._choices = (own ? others : [[here, id] as [string, string], ...others]).slice(
      0,
      MOST_CHOICES
    );
    this._choose();
    this.emit();
  }

  toggle(section: string, open = !this.open.has(section)): void {
    if (open) {
      this.open.add(section);
    } else {
      this.open.delete(section);
    }
    this._showParts();
    this.emit();
  }

  /** Read the agents again. */
  refresh(): void {
    this._stale = true;
    void this._load();
  }

  /** Read everything that is shown again. */
  refreshAll(): void {
    this._models.forEach(model => {
      model.invalidate(Object.keys(AFFECTED));
      model.invalidateChats();
    });
    this._fresh = true;
    this.refresh();
  }

  dismiss(): void {
    this.error = '';
    this.emit();
  }

  /** Why what others share cannot be read now, until that is put away; empty if it can. */
  get sharedProblem(): string {
    return this.shared.problem === this._dismissed ? '' : this.shared.problem;
  }

  dismissShared(): void {
    this._dismissed = this.shared.problem;
    this.emit();
  }

  /** Do something with an agent; throws what went wrong. The answer is the agent it was about. */
  async change(method: string, params: { agent?: string }): Promise<unknown> {
    const result = await this.bridge.request<unknown>(method, params);
    this._stale = true;
    await this._load();
    return result;
  }

  dispose(): void {
    this.bridge.stateChanged.disconnect(this._onState, this);
    this.bridge.notebookChanged.disconnect(this._onState, this);
    this.bridge.changed.disconnect(this._onChanged, this);
    this.bridge.events.disconnect(this._onEvent, this);
  }

  private _onState(): void {
    this._showParts();
    const { state, answeredBy } = this.bridge;
    if (state === 'lost' || state === 'connecting') {
      this._models.forEach(model => model.lost());
    }
    if (answeredBy === null) {
      this.loaded = false;
    } else {
      this.refreshAll();
    }
    this.emit();
  }

  private _onChanged(_: IBridge, { what, agents }: IChanged): void {
    for (const [id, model] of this._models) {
      if (agents === null || agents.includes(id)) {
        model.invalidate(what);
      } else if (what.includes('agents')) {
        model.timeline.invalidate(); // a fork of it may have come or gone
      }
    }
    if (['agents', 'runs', 'notebook'].some(kind => what.includes(kind))) {
      this.refresh();
    }
  }

  private _onEvent(_: IBridge, happened: IRunEvent): void {
    const { agent_id, event } = happened;
    const model = this._model(agent_id);
    model.handle(happened);
    if (event.type === 'memory_changed') {
      model.memory.invalidate();
    }
    const now = STATES[event.type];
    const ended = event.type === 'run_ended';
    if (now && this.all.some(({ id, state }) => id === agent_id && state !== now)) {
      this._setState(agent_id, now);
    } else if (ended) {
      const waits = meaning(String(event.stop_reason)) === 'waits';
      this._setState(agent_id, waits ? 'waiting' : 'idle');
    }
    if (ended || event.type === 'step_ended') {
      model.invalidate(['runs', 'messages']);
    }
  }

  private _setState(id: string, state: AgentStatus): void {
    const set = (agent: IAgent) => (agent.id === id ? { ...agent, state } : agent);
    this.agents = this.agents.map(set);
    this.shared = { ...this.shared, agents: this.shared.agents.map(set) };
    this.emit();
  }

  private async _load(): Promise<void> {
    if (this._loading) {
      return; // it looks again when it is done
    }
    this._loading = true;
    while (this._stale && this._shown && this.bridge.answeredBy !== null) {
      this._stale = false;
      void this._loadShared();
      try {
        const [agents, notebook] = await Promise.all([
          this.bridge.request<IAgent[]>('agents'),
          this.bridge.request<{ agent: string | null }>('notebook')
        ]);
        this.agents = agents;
        this.current = notebook.agent;
        this.loaded = true;
        this.error = '';
        this._choose();
      } catch (error) {
        this.error = messageOf(error);
      }
      this.emit();
    }
    this._loading = false;
  }

  /** Read what others share; what was known stays where it cannot be read. */
  private async _loadShared(): Promise<void> {
    const asked = ++this._asked;
    const fresh = this._fresh;
    this._fresh = false;
    // An older kernel knows of none.
    const found = await this.bridge.request<ISharedAgents>('shared', { fresh }).catch(() => NOBODY);
    if (asked !== this._asked) {
      return;
    }
    const before = new Map(this.shared.agents.map(({ id, state }) => [id, state]));
    const known = found.problem && !found.agents.length ? this.shared.agents : found.agents;
    const agents = known.map(one => ({ ...one, state: before.get(one.id) ?? one.state }));
    this.shared = { ...found, agents };
    this._choose();
    this.emit();
  }

  /** Look at the agent chosen here, else at the notebook's, else at the first that does something. */
  private _choose(): void {
    const ids = this.all.map(({ id }) => id);
    const here = this._notebook;
    const wanted = [this._choices.find(([notebook]) => notebook === here)?.[1], this.current];
    const id =
      wanted.find(one => typeof one === 'string' && ids.includes(one)) ??
      this.all.find(({ state }) => state !== 'idle')?.id ??
      ids[0];
    this.chosen = id ? this._model(id) : null;
    this._showParts();
  }

  private _model(id: string): AgentModel {
    const model = this._models.get(id) ?? new AgentModel(id, this.bridge, () => this._showParts());
    this._models.set(id, model);
    return model;
  }

  private _showParts(): void {
    const visible = this._shown && this.bridge.answeredBy !== null;
    for (const model of this._models.values()) {
      model.show(visible && model === this.chosen ? this.open : NOTHING);
    }
  }

  private get _notebook(): string {
    return this.bridge.panel?.context.path ?? '';
  }

  private _choices: [string, string][] = [];
  private _models = new Map<string, AgentModel>();
  private _shown = false;
  private _stale = true;
  private _fresh = false;
  private _asked = 0;
  private _dismissed = '';
  private _loading = false;
}

const NOTHING: ReadonlySet<string> = new Set();

const NOBODY: ISharedAgents = { agents: [], problem: '', server: '', notice: '' };

const STATES: Record<string, AgentStatus | undefined> = {
  run_queued: 'running',
  run_started: 'running',
  tool_started: 'running',
  approval_requested: 'waiting'
};
