// What a kernel, or a chat that runs in the server, asks of the notebook that is open, and what it is told.

import type { IOutput } from '@jupyterlab/nbformat';

export type CellKind = 'code' | 'markdown' | 'raw';

/** A cell as it is in the page, with edits that are not saved. */
export interface ICellRecord {
  readonly id: string;
  readonly kind: CellKind;
  readonly source: string;
  readonly execution_count: number | null;
  /** Long texts are shortened and large pictures left out. */
  readonly outputs: readonly IOutput[];
  readonly tags: readonly string[];
  readonly state: 'idle' | 'queued' | 'running';
}

export interface IContents {
  readonly path: string;
  /** The id of the cell that is selected. */
  readonly active: string | null;
  readonly cells: readonly ICellRecord[];
}

/** A change of the cells. `after` null is the top; `before` is the source that the change was made for. */
export type Change =
  | { op: 'insert'; after: string | null; kind: CellKind; source: string }
  | { op: 'edit'; cell: string; before: string; source: string }
  | { op: 'delete'; cell: string; before: string }
  | { op: 'move'; cell: string; after: string | null };

/** Changes that belong together: one step of the notebook's undo. */
export interface IApplied {
  /** The run they are of. */
  readonly run: string;
  readonly agent: string;
  readonly agent_name: string;
  readonly changes: readonly Change[];
}

export interface IUndone {
  /** The cells that are as they were before the run. */
  readonly undone: string[];
  /** Those that somebody has changed since. */
  readonly changed: string[];
}

/** What a request of the notebook was refused for; `name` is for programs. */
export class DocumentError extends Error {
  constructor(
    name: 'Changed' | 'Closed' | 'Invalid' | 'Locked' | 'NotFound' | 'ReadOnly',
    message: string
  ) {
    super(message);
    this.name = name;
  }
}
