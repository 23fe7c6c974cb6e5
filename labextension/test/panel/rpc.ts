// A kernel's connection that answers from what a test puts into it.

import { Signal } from '@lumino/signaling';

import type { BridgeState, IBridge, IChanged, IRunEvent } from '../../src/bridge';
import { RpcError } from '../../src/bridge';
import type { IAgent, IMessage } from '../../src/panel/model/records';
import type { IBlock } from '../../src/ui/blocks';

type Answer = (params: any) => unknown;

export class KernelRpc implements IBridge {
  state: BridgeState = 'ready';
  readonly stateChanged: Signal<IBridge, BridgeState> = new Signal<IBridge, BridgeState>(this);
  readonly notebookChanged: Signal<IBridge, null> = new Signal<IBridge, null>(this);
  readonly events: Signal<IBridge, IRunEvent> = new Signal<IBridge, IRunEvent>(this);
  readonly changed: Signal<IBridge, IChanged> = new Signal<IBridge, IChanged>(this);
  panel: any = null;
  readonly folder = '';
  /** Whether the Jupyter server answers where the kernel does not. */
  served = false;
  readonly project = 'study';
  readonly version = '0.1.0';
  /** What was asked, in order. */
  readonly asked: [string, any][] = [];
  readonly images: string[] = [];
  readonly said: [string, string, string | null][] = [];
  endTalk: (error?: Error) => void = () => undefined;

  constructor(readonly answers: Record<string, Answer> = {}) {
    answers.agents ??= () => [agent('ada'), agent('bob')];
    answers.blocks ??= () => [block('human', 'Lin')];
    answers.messages ??= () => [];
    answers.pending ??= () => [];
    answers.conversations ??= () => [];
    answers.notebook ??= () => ({ notebook: '', agent: null });
  }

  async request<T>(method: string, params: object = {}): Promise<T> {
    this.asked.push([method, params]);
    const answer = this.answers[method];
    if (!answer) {
      throw new RpcError('NotFoundError', `This kernel cannot be asked for ${method}.`);
    }
    return (await answer(params)) as T;
  }

  get answeredBy(): 'kernel' | 'server' | null {
    return this.state === 'ready' ? 'kernel' : this.served ? 'server' : null;
  }

  look(): void {
    // it answers all the time
  }

  talk(name: string, text: string, conversation: string | null, images: readonly string[]): Promise<void> {
    this.images.push(...images);
    this.said.push([name, text, conversation]);
    return new Promise((resolve, reject) => {
      this.endTalk = error => (error ? reject(error) : resolve());
    });
  }

  async insertLoadExt(): Promise<void> {
    this.asked.push(['insertLoadExt', {}]);
  }

  become(state: BridgeState): void {
    this.state = state;
    this.stateChanged.emit(state);
  }

  happen(agentId: string, runId: string, ...events: IRunEvent['event'][]): void {
    events.forEach(event => this.events.emit({ agent_id: agentId, run_id: runId, event }));
  }

  count(method: string): number {
    return this.asked.filter(([name]) => name === method).length;
  }
}

export function agent(name: string, changes: Partial<IAgent> = {}): IAgent {
  const id = `agent-${name}`;
  return {
    ...{ id, name, description: '', model: 'demo', answers: 'demo', label: '', state: 'idle' },
    tags: [],
    ...changes
  };
}

export function block(label: string, value: string, version = 1): IBlock {
  return {
    ...{ id: `block-${label}`, label, value, limit: 100, description: '', read_only: false },
    ...{ version, tokens: 3, shared_with: [], by: '', how: '', undoable: false, redoable: false }
  };
}

export function message(seq: number, changes: Partial<IMessage> = {}): IMessage {
  return {
    ...{ id: `message-${seq}`, seq, run_id: null, role: 'user', content: `said ${seq}` },
    ...{ reasoning: '', tool_calls: [], name: null, status: null, interrupted: false },
    created_at: '2026-01-02T03:04:05Z',
    ...changes
  };
}

/** Let everything that was asked be answered. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) {
    await Promise.resolve();
  }
}
