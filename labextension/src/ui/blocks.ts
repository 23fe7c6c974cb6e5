// An agent's memory blocks, as the kernel tells of them and is asked about them.

import type { Trans } from './words';

export interface IBlock {
  id: string;
  label: string;
  value: string;
  /** Characters it may hold. */
  limit: number;
  description: string;
  /** The agent may not change it, and neither may a person here. */
  read_only: boolean;
  version: number;
  tokens: number;
  /** Other agents that have the same block. */
  shared_with: string[];
  /** The name of who wrote the text that stands there; empty: the person here did. */
  by: string;
  /** By which tool or door it came in. */
  how: string;
  /** Is there something to undo, and to redo? */
  undoable: boolean;
  redoable: boolean;
}

export interface IBlockVersion {
  version: number;
  value: string;
  /** The name of who wrote it; empty: the person here did. */
  by: string;
  reason: string;
  /** The beginning of the message that the run answered in which it was written, if it was in one. */
  after: string;
  created_at: string;
}

/** Who wrote the text that stands in a block, as people read it. */
export function writerOf({ by }: { by: string }, trans: Trans): string {
  return by || trans.__('you');
}

/** Ask the kernel something about an agent's blocks; rejects with an error whose message is one line. */
export type AskBlocks = <T>(method: string, params: object) => Promise<T>;

/** Where a block is shown: it asks the kernel for it, and tells those who do not see it. */
export interface IBlockHost {
  readonly ask: AskBlocks;
  readonly trans: Trans;
  /** Whether a block can be given another text at most: it is somebody else's. */
  readonly textAlone?: boolean;
  say(text: string): void;
}

/** How an error says what kind it is, besides its message. */
export function kindOf(error: unknown): string {
  return String((error as { kind?: unknown } | null)?.kind ?? '');
}

/** Characters, as Python counts them: an emoji is one, not two. */
export function lengthOf(text: string): number {
  return [...text].length;
}
