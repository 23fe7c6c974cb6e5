// Calls that wait for a person's word, and the words that were given so far.

import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IDisposable } from '@lumino/disposable';
import { DisposableDelegate } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';

import type { IChoice } from '../ui/choice';
import type { ICall } from '../ui/page';
import type { Bridge } from './follow';
import type { PanelRpc } from './protocol';

export type Decision = { call_id: string } & IChoice;

/** Calls of one agent that are decided about together. */
export interface IWait {
  /** Tells waits apart, also from later ones of the same agent. */
  readonly key: string;
  readonly agent: { readonly id: string; readonly name: string };
  readonly calls: readonly ICall[];
  /** The kernel in whose cell the agent waits; null: in none, it has stopped waiting. */
  readonly rpc: PanelRpc | null;
  /** The notebook that the calls are about, where no cell of it waits. */
  readonly panel: NotebookPanel | null;
  /** Say what was decided about all of them. */
  answer(decisions: readonly Decision[]): Promise<unknown>;
}

interface IAgent {
  readonly id: string;
  readonly name: string;
  readonly state: string;
}

/** How long to gather reasons for looking, in milliseconds. */
const PAUSE = 200;

/** Looks who waits whenever that may have changed. */
export class Waiting {
  /**
   * @param failed - Told what an answer was refused for.
   */
  constructor(bridge: Bridge, failed: (error: unknown) => void) {
    this._bridge = bridge;
    this._failed = failed;
    bridge.rpcsChanged.connect(this.lookSoon, this);
    bridge.anyChanged.connect(this.lookSoon, this);
  }

  get waits(): readonly IWait[] {
    return [...this._found, ...this._added].filter(({ key }) => !this._answered.has(key));
  }

  /** Others wait, or something was decided. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Add calls that wait elsewhere than in a kernel, until the result is disposed of. */
  add(wait: IWait): IDisposable {
    this._added.push(wait);
    this._settle();
    return new DisposableDelegate(() => {
      this._added = this._added.filter(one => one !== wait);
      this._settle();
    });
  }

  /** What was decided about a call, while others of the agent are yet to be. */
  decision(call: string): IChoice | null {
    return this._decisions.get(call) ?? null;
  }

  /** Decide about a call; the agent is told when all that it waits with is decided. */
  decide(call: string, choice: IChoice): void {
    this._decisions.set(call, choice);
    this._settle();
    if (!this.waits.some(({ calls }) => calls.some(({ id }) => id === call))) {
      this.lookSoon(); // whoever decided has heard of it before us
    }
  }

  lookSoon(): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => {
      if (this._looking) {
        this._again = true;
      } else {
        void this._look();
      }
    }, PAUSE);
  }

  private async _look(): Promise<void> {
    this._looking = true;
    do {
      this._again = false;
      this._found = await this._find();
      this._settle();
    } while (this._again);
    this._looking = false;
  }

  private async _find(): Promise<IWait[]> {
    const projects = new Map<string, PanelRpc[]>();
    for (const rpc of this._bridge.allRpcs) {
      projects.set(rpc.home, [...(projects.get(rpc.home) ?? []), rpc]);
    }
    const found: IWait[] = [];
    for (const [home, rpcs] of projects) {
      try {
        for (const agent of await rpcs[0].request<IAgent[]>('agents')) {
          const asking = rpcs.find(rpc => rpc.asking.includes(agent.id)) ?? null;
          if (asking || agent.state === 'waiting') {
            const params = { agent: agent.id };
            const calls = await (asking ?? rpcs[0]).request<ICall[]>('pending', params);
            if (calls.length > 0) {
              found.push({
                key: [home, agent.id, ...calls.map(({ id }) => id)].join('\n'),
                agent,
                calls,
                rpc: asking,
                panel: null,
                answer: decisions => this._answer(home, agent.id, decisions)
              });
            }
          }
        }
      } catch {
        // Not known now: what was known stands. A connection that is back says so.
        found.push(...this._found.filter(({ key }) => key.startsWith(`${home}\n`)));
      }
    }
    return found;
  }

  private async _answer(home: string, agent: string, decisions: readonly Decision[]): Promise<void> {
    const rpcs = this._bridge.allRpcs.filter(rpc => rpc.home === home);
    const rpc = rpcs.find(({ asking }) => asking.includes(agent)) ?? this._bridge.free(home);
    await rpc?.request('approve', { agent, decisions });
  }

  /** Tell agents whose calls are all decided, and forget decisions about what does not wait any more. */
  private _settle(): void {
    const known = new Set([...this._found, ...this._added].map(({ key }) => key));
    this._answered.forEach(key => known.has(key) || this._answered.delete(key));
    for (const wait of this.waits) {
      const decisions = wait.calls.flatMap(({ id }) => {
        const choice = this._decisions.get(id);
        return choice ? [{ call_id: id, ...choice }] : [];
      });
      if (decisions.length === wait.calls.length) {
        this._answered.add(wait.key);
        wait.answer(decisions).catch(error => {
          this._answered.delete(wait.key);
          this._failed(error);
          this.lookSoon();
        });
        wait.calls.forEach(({ id }) => this._decisions.delete(id));
      }
    }
    this._changed.emit();
  }

  private readonly _bridge: Bridge;
  private readonly _failed: (error: unknown) => void;
  private _found: IWait[] = [];
  private _added: IWait[] = [];
  private readonly _answered = new Set<string>();
  private readonly _decisions = new Map<string, IChoice>();
  private readonly _changed = new Signal<this, void>(this);
  private _timer: number | undefined;
  private _looking = false;
  private _again = false;
}
