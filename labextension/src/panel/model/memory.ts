// An agent's memory blocks, read again after whatever may have changed them.

import type { AskBlocks, IBlock } from '../../ui/blocks';
import { Part } from './part';

export class MemoryModel extends Part {
  blocks: IBlock[] = [];

  /** Ask about this agent's blocks. When it is answered, the blocks are known as they are then. */
  readonly askBlocks: AskBlocks = async (method, params) => {
    try {
      return await this.ask(method, { agent: this.agent, ...params });
    } finally {
      if (method !== 'block.versions') {
        await this.read();
        this.emit();
      }
    }
  };

  protected async read(): Promise<void> {
    this.blocks = await this.ask<IBlock[]>('blocks', { agent: this.agent });
  }
}
