// An agent's memory blocks: editing without overwriting anybody, history, undo.

import { kindOf, Part } from './part';
import type { IBlock, IBlockVersion } from './records';

/** A value being edited by a person. */
export interface IDraft {
  value: string;
  /** The version of the block that the editing began from, and what that held. */
  from: IBlock;
  saving: boolean;
}

export class MemoryModel extends Part {
  blocks: IBlock[] = [];
  readonly drafts = new Map<string, IDraft>();
  /** The versions, newest first, of the blocks whose history is open. */
  readonly histories = new Map<string, IBlockVersion[]>();

  edit(label: string): void {
    const block = this._block(label);
    if (block && !block.read_only) {
      this.drafts.set(label, { value: block.value, from: block, saving: false });
      this.emit();
    }
  }

  change(label: string, value: string): void {
    const draft = this.drafts.get(label);
    if (draft) {
      draft.value = value;
      this.emit();
    }
  }

  cancel(label: string): void {
    this.drafts.delete(label);
    this.emit();
  }

  /** What somebody else has written since the editing began; null if nobody has. */
  conflict(label: string): IBlock | null {
    const draft = this.drafts.get(label);
    const block = this._block(label);
    return draft && block && block.version !== draft.from.version ? block : null;
  }

  /** Write the draft over what stands there now, which the person has seen. */
  async keepMine(label: string): Promise<void> {
    const draft = this.drafts.get(label);
    const block = this._block(label);
    if (draft && block) {
      draft.from = block;
      await this.save(label);
    }
  }

  /** Write the draft, unless somebody else has written since: then `conflict` tells what. */
  async save(label: string): Promise<void> {
    const draft = this.drafts.get(label);
    if (!draft || draft.saving || this.conflict(label)) {
      return;
    }
    if (draft.value === draft.from.value) {
      this.cancel(label);
      return;
    }
    draft.saving = true;
    const saved = await this.act(async () => {
      try {
        await this.ask('block.write', {
          agent: this.agent,
          label,
          value: draft.value,
          expected_version: draft.from.version
        });
      } catch (error) {
        if (kindOf(error) !== 'ConflictError') {
          throw error;
        }
        await this.read();
        if (!this.conflict(label)) {
          throw error;
        }
        return;
      }
      this.drafts.delete(label);
      await this.read();
    });
    draft.saving = false;
    if (saved) {
      this.emit();
    }
  }

  async toggleHistory(label: string): Promise<void> {
    if (this.histories.delete(label)) {
      this.emit();
      return;
    }
    await this.act(() => this._readHistory(label));
  }

  undo(label: string): Promise<boolean> {
    return this._step('block.undo', label);
  }

  redo(label: string): Promise<boolean> {
    return this._step('block.redo', label);
  }

  create(block: { label: string; value: string; limit?: number; description?: string }) {
    return this.act(async () => {
      await this.ask('block.create', { agent: this.agent, ...block });
      await this.read();
    });
  }

  detach(label: string): Promise<boolean> {
    return this.act(async () => {
      await this.ask('block.detach', { agent: this.agent, label });
      this.drafts.delete(label);
      this.histories.delete(label);
      await this.read();
    });
  }

  /** A run has changed a block, and said how. */
  written(label: string, value: string, version: number): void {
    this.blocks = this.blocks.map(block =>
      block.label === label && block.version < version ? { ...block, value, version } : block
    );
    this.emit();
  }

  protected async read(): Promise<void> {
    this.blocks = await this.ask<IBlock[]>('blocks', { agent: this.agent });
    const labels = Array.from(this.histories.keys());
    await Promise.all(labels.map(label => this._readHistory(label)));
  }

  private _step(method: string, label: string): Promise<boolean> {
    return this.act(async () => {
      await this.ask(method, { agent: this.agent, label });
      await this.read();
    });
  }

  private async _readHistory(label: string): Promise<void> {
    if (!this._block(label)) {
      this.histories.delete(label);
      return;
    }
    const params = { agent: this.agent, label };
    this.histories.set(label, await this.ask<IBlockVersion[]>('block.versions', params));
  }

  private _block(label: string): IBlock | undefined {
    return this.blocks.find(block => block.label === label);
  }
}
