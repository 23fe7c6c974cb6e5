// Changes of a notebook's cells by agents: applied as one step of its undo, and taken back run by run.

import type {
  ISharedCell,
  ISharedNotebook,
  SharedCell,
  YBaseCell,
  YNotebook
} from '@jupyter/ydoc';
import type { IBaseCell } from '@jupyterlab/nbformat';
import type { JSONObject } from '@lumino/coreutils';

import type { Trans } from '../ui/words';
import { DocumentError, type Change, type IApplied, type IUndone } from './records';

/** Where a cell's metadata say who changed it. */
const MARK = 'letta';

/** Runs of which it is known how to take them back. */
const MOST_RUNS = 100;

/** How to take back one change. */
type Back =
  | { op: 'insert'; cell: string; source: string }
  | { op: 'edit'; cell: string; before: string; after: string; mark: unknown }
  | { op: 'delete'; cell: string; json: IBaseCell; above: string | null }
  | { op: 'move'; cell: string; above: string | null };

/** A place for a text that outlives the page. */
export interface IKept {
  read(): string | null;
  write(text: string): void;
}

/** The changes of one notebook: what was done for which run. */
export class Changes {
  /**
   * @param kept - Where it is kept what was done, so that it can be taken back after the page was loaded anew.
   */
  constructor(
    private readonly _notebook: ISharedNotebook,
    private readonly _trans: Trans,
    private readonly _kept: IKept = { read: () => null, write: () => undefined }
  ) {
    try {
      this._runs = new Map(JSON.parse(_kept.read() ?? '[]') as [string, Back[]][]);
    } catch {
      // somebody else's
    }
  }

  /**
   * Make changes, all of them or none; returns the ids of the cells they are about.
   *
   * Changes that follow others of the same run, and nothing else, are the same step of the undo.
   */
  apply({ run, agent, agent_name, changes }: IApplied): string[] {
    const trial = new Draft(this._notebook, this._trans, true);
    changes.forEach(change => trial.make(change, null));
    const mark = { by: agent_name, agent, run, at: new Date().toISOString() };
    const done = this._runs.get(run) ?? [];
    const { undoManager } = this._notebook as YNotebook;
    const joins = this._last?.run === run && undoManager.undoStack.at(-1) === this._last.step;
    if (joins) {
      undoManager.lastChange = Date.now(); // so that it joins the step before
    } else {
      undoManager.stopCapturing();
    }
    this._forgetTwin();
    const [first] = changes;
    const alone = !joins && changes.length === 1 && first.op === 'edit' ? first.cell : null;
    const ids = this._transact(
      draft =>
        changes.map(change => {
          const back = draft.make(change, mark);
          done.push(back);
          return back.cell;
        }),
      alone
    );
    this._last = { run, step: undoManager.undoStack.at(-1) };
    undoManager.stopCapturing();
    this._runs.delete(run);
    this._runs.set(run, done);
    const [oldest] = this._runs.keys();
    if (this._runs.size > MOST_RUNS) {
      this._runs.delete(oldest);
    }
    this._keep();
    return ids;
  }

  /** Take back what a run changed, but not where somebody has changed it since, unless *force* says so. */
  undo(run: string, force = false): IUndone {
    const done = this._runs.get(run);
    if (!done) {
      const text = this._trans.__('This page does not know what that run changed.');
      throw new DocumentError('NotFound', text);
    }
    const { undoManager } = this._notebook as YNotebook;
    const undone = new Set<string>();
    const changed = new Set<string>();
    const left: Back[] = [];
    undoManager.stopCapturing();
    this._forgetTwin();
    this._transact(draft => {
      for (const back of [...done].reverse()) {
        if (!changed.has(back.cell) && draft.takeBack(back, force)) {
          undone.add(back.cell);
        } else {
          changed.add(back.cell);
          left.unshift(back);
        }
      }
    });
    undoManager.stopCapturing();
    if (left.length) {
      this._runs.set(run, left);
    } else {
      this._runs.delete(run);
    }
    this._keep();
    return { undone: [...undone], changed: [...changed] };
  }

  /** Change cells; of a change of the source of one cell alone its editor's undo knows as well. */
  private _transact<T>(work: (draft: Draft) => T, alone: string | null = null): T {
    const { undoManager } = this._notebook as YNotebook;
    const cell = this._notebook.cells.find(({ id }) => id === alone) as YBaseCell<any> | undefined;
    const own = cell?.undoManager === undoManager ? null : (cell?.undoManager ?? null);
    own?.stopCapturing();
    own?.addTrackedOrigin(this._notebook);
    let result: T;
    try {
      this._notebook.transact(() => (result = work(new Draft(this._notebook, this._trans))));
    } finally {
      own?.removeTrackedOrigin(this._notebook);
      own?.stopCapturing();
    }
    if (own) {
      this._forgetTwin = twins(undoManager, own);
    }
    return result!;
  }

  private _keep(): void {
    this._kept.write(JSON.stringify([...this._runs]));
  }

  private _runs = new Map<string, Back[]>();
  private _last: { run: string; step: unknown } | null = null;
  /** Let the editor's undo forget the last step, of which the notebook's will know alone. */
  private _forgetTwin: () => void = () => undefined;
}

type UndoManager = YNotebook['undoManager'];

/**
 * The last step of two undos is the same one: when one of them takes it back, the other forgets it. Taken back
 * twice, it would take more than itself. Returns what lets the second forget it.
 */
function twins(one: UndoManager, other: UndoManager): () => void {
  const steps = new Map([one, other].map(undo => [undo, undo.undoStack.at(-1)]));
  const forget = (undo: UndoManager) => {
    undo.undoStack = undo.undoStack.filter(step => step !== steps.get(undo));
    steps.forEach((_, each) => each.off('stack-item-popped', popped));
  };
  const popped = ({ stackItem }: { stackItem: unknown }) => {
    if (stackItem === steps.get(one)) {
      forget(other);
    } else if (stackItem === steps.get(other)) {
      forget(one);
    }
  };
  steps.forEach((_, undo) => undo.on('stack-item-popped', popped));
  return () => forget(other);
}

/**
 * The cells while they are being changed: the notebook tells of its new cells only at the end.
 *
 * A trial changes nothing and refuses what cannot be.
 */
class Draft {
  constructor(
    private readonly _notebook: ISharedNotebook,
    private readonly _trans: Trans,
    private readonly _trial = false
  ) {
    _notebook.cells.forEach(cell => {
      this._order.push(cell.id);
      this._cells.set(cell.id, cell);
      this._sources.set(cell.id, cell.source);
    });
  }

  make(change: Change, mark: JSONObject | null): Back {
    switch (change.op) {
      case 'insert':
        return this._insert(change, mark);
      case 'edit': {
        const cell = this._meant(change.cell, change.before, 'editable');
        const back = cell.getMetadata(MARK);
        this._write(cell, change.source, mark ?? undefined);
        const { before, source } = change;
        return { op: 'edit', cell: change.cell, before, after: source, mark: back };
      }
      case 'delete': {
        const cell = this._meant(change.cell, change.before, 'deletable');
        const above = this._above(cell.id);
        const json = cell.toJSON() as IBaseCell;
        this._remove(change.cell);
        return { op: 'delete', cell: change.cell, json, above };
      }
      case 'move': {
        const cell = this._meant(change.cell, null, null);
        const above = this._above(cell.id);
        if (change.after === cell.id) {
          throw new DocumentError('Invalid', this._trans.__('A cell cannot be moved below itself.'));
        }
        this._move(cell, change.after, mark);
        return { op: 'move', cell: change.cell, above };
      }
    }
  }

  /** Take back a change; false if the cell is not as the change left it. */
  takeBack(back: Back, force: boolean): boolean {
    const cell = this._cells.get(back.cell);
    switch (back.op) {
      case 'insert':
        if (!cell) {
          return true; // somebody has taken it back already
        }
        if (!force && this._sources.get(cell.id) !== back.source) {
          return false;
        }
        this._remove(cell.id);
        return true;
      case 'edit':
        if (!cell) {
          return false;
        }
        if (!force && ![back.after, back.before].includes(this._sources.get(cell.id) ?? '')) {
          return false;
        }
        this._write(cell, back.before, back.mark ?? null);
        return true;
      case 'delete':
        if (!cell) {
          this._put(this._place(back.above, true), back.json as SharedCell.Cell);
        }
        return true;
      case 'move':
        if (!cell) {
          return false;
        }
        this._move(cell, back.above, null, true);
        return true;
    }
  }

  private _insert(change: Change & { op: 'insert' }, mark: JSONObject | null): Back {
    const at = this._place(change.after);
    const metadata = { ...(change.kind === 'code' ? { trusted: true } : {}), [MARK]: mark };
    const json = { cell_type: change.kind, source: change.source, metadata } as SharedCell.Cell;
    return { op: 'insert', cell: this._put(at, json), source: change.source };
  }

  /** The cell of an id, if it may be changed in a way and has the source that is expected. */
  private _meant(id: string, before: string | null, right: string | null): ISharedCell {
    const cell = this._cells.get(id);
    if (!cell) {
      throw new DocumentError('NotFound', this._trans.__('There is no cell %1 in the notebook.', id));
    }
    if (right && cell.getMetadata(right) === false) {
      const words =
        right === 'editable'
          ? this._trans.__('The cell %1 is read-only.', id)
          : this._trans.__('The cell %1 is protected from being deleted.', id);
      throw new DocumentError('Locked', words);
    }
    if (before !== null && this._sources.get(id) !== before) {
      const text = this._trans.__('The cell %1 has been edited since: read it again.', id);
      throw new DocumentError('Changed', text);
    }
    return cell;
  }

  private _above(id: string): string | null {
    return this._order[this._order.indexOf(id) - 1] ?? null;
  }

  /** The index of a new cell below another; *anyhow*: at the end, if that one is gone. */
  private _place(after: string | null, anyhow = false): number {
    const at = after === null ? 0 : this._order.indexOf(after) + 1;
    if (after !== null && at === 0) {
      if (!anyhow) {
        throw new DocumentError('NotFound', this._trans.__('There is no cell %1 in the notebook.', after));
      }
      return this._order.length;
    }
    return at;
  }

  private _put(at: number, json: SharedCell.Cell): string {
    if (this._trial) {
      const id = `new ${this._order.length}`;
      this._order.splice(at, 0, id);
      return id;
    }
    const cell = this._notebook.insertCell(at, json);
    this._order.splice(at, 0, cell.id);
    this._cells.set(cell.id, cell);
    this._sources.set(cell.id, String(json.source ?? ''));
    return cell.id;
  }

  private _remove(id: string): void {
    const at = this._order.indexOf(id);
    this._order.splice(at, 1);
    this._cells.delete(id);
    if (!this._trial) {
      this._notebook.deleteCell(at);
      if (this._order.length === 0) {
        // As JupyterLab itself does: there is always a cell to write in.
        this._put(0, { cell_type: 'code', source: '', metadata: { trusted: true } });
      }
    }
  }

  /** Move a cell, which makes it anew. */
  private _move(cell: ISharedCell, after: string | null, mark: JSONObject | null, anyhow = false): void {
    this._place(after, anyhow); // refused before anything is done
    if (this._trial) {
      this._order.splice(this._order.indexOf(cell.id), 1);
      this._order.splice(this._place(after), 0, cell.id);
      return;
    }
    const json = cell.toJSON() as SharedCell.Cell;
    const source = this._sources.get(cell.id) ?? '';
    const at = this._order.indexOf(cell.id);
    this._order.splice(at, 1);
    this._notebook.deleteCell(at);
    const metadata = { ...json.metadata, ...(mark ? { [MARK]: mark } : {}) };
    this._put(this._place(after, true), { ...json, source, metadata } as SharedCell.Cell);
  }

  /** Replace what differs, so that cursors elsewhere in the cell stay; *mark* null takes the mark away. */
  private _write(cell: ISharedCell, source: string, mark: unknown): void {
    const before = this._sources.get(cell.id) ?? '';
    this._sources.set(cell.id, source);
    if (this._trial) {
      return;
    }
    const [head, tail] = inCommon(before, source);
    cell.updateSource(head, before.length - tail, source.slice(head, source.length - tail));
    if (mark === null) {
      cell.deleteMetadata(MARK);
    } else if (mark !== undefined) {
      cell.setMetadata(MARK, mark as JSONObject);
    }
  }

  private readonly _order: string[] = [];
  private readonly _cells = new Map<string, ISharedCell>();
  private readonly _sources = new Map<string, string>();
}

/** How many characters two texts have in common at their start and at their end; no pair is split. */
function inCommon(one: string, other: string): [number, number] {
  const shortest = Math.min(one.length, other.length);
  let head = 0;
  while (head < shortest && one[head] === other[head]) {
    head++;
  }
  head -= /[\ud800-\udbff]/.test(one[head - 1] ?? '') ? 1 : 0;
  let tail = 0;
  while (tail < shortest - head && one.at(-1 - tail) === other.at(-1 - tail)) {
    tail++;
  }
  tail -= /[\udc00-\udfff]/.test((tail && one.at(-tail)) || '') ? 1 : 0;
  return [head, tail];
}
