// An agent's memory blocks, read again after whatever may have changed them.

import { SHARED } from '../../bridge/bridge';
import type { AskBlocks, IBlock } from '../../ui/blocks';
import type { ISleep } from '../../ui/sleep';
import { Part } from './part';

export class MemoryModel extends Part {
  blocks: IBlock[] = [];

  /** What tidies it while the agent rests; null: nothing does. */
  sleep: ISleep | null = null;

  /** Ask about this agent's blocks. When it is answered, the blocks are known as they are then. */
  readonly askBlocks: AskBlocks = (method, params) => this.askedOf(method, params);

  protected async read(): Promise<void> {
    const { agent } = this;
    if (agent.startsWith(SHARED)) {
      this.blocks = await this.ask<IBlock[]>('blocks', { agent });
      return;
    }
    const asleep = this.ask<ISleep | null>('sleeptime', { agent }).catch(() => null); // an older kernel
    [this.blocks, this.sleep] = await Promise.all([this.ask<IBlock[]>('blocks', { agent }), asleep]);
  }
}
