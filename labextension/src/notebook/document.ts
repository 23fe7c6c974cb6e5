// The notebook that is open in this page, as a kernel or a chat reads and changes it.
//
// Everything goes through the shared model: other views of the notebook, real-time collaboration and the
// notebook's own undo know of it, and edits that are not saved are seen.

import { CodeCell, isCodeCellModel, type ICellModel } from '@jupyterlab/cells';
import type { IOutput, MultilineString } from '@jupyterlab/nbformat';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { KernelMessage, type Kernel } from '@jupyterlab/services';
import { Signal, type ISignal } from '@lumino/signaling';

import type { Trans } from '../ui/words';
import { Changes, type IKept } from './changes';
import {
  DocumentError,
  type CellKind,
  type IApplied,
  type ICellRecord,
  type IContents,
  type IUndone
} from './records';

const LONGEST_TEXT = 20_000; // characters of one text of an output
const LARGEST_PICTURE = 1_400_000; // characters of base64, which are 1 MB

/** One open notebook. Of each there is one, got by `OpenDocument.of`. */
export class OpenDocument {
  /** The document behind a notebook's panel. */
  static of(panel: NotebookPanel, trans: Trans): OpenDocument {
    let made = documents.get(panel);
    if (!made) {
      made = new OpenDocument(panel, trans);
      documents.set(panel, made);
    }
    return made;
  }

  private constructor(
    readonly panel: NotebookPanel,
    trans: Trans
  ) {
    this._trans = trans;
    panel.sessionContext.iopubMessage.connect(this._onMessage, this);
    panel.disposed.connect(() => Signal.clearData(this));
  }

  /** Emitted with what was changed for a run, and the ids of the cells it is about. */
  get applied(): ISignal<this, { readonly asked: IApplied; readonly cells: readonly string[] }> {
    return this._applied;
  }

  get path(): string {
    return this.panel.context.path;
  }

  /** Read the cells. */
  async read(): Promise<IContents> {
    const cells = await this._cells();
    return {
      path: this.path,
      active: this.panel.content.activeCell?.model.id ?? null,
      cells: cells.map(cell => this._record(cell))
    };
  }

  /** Change cells, all as asked or none; returns the ids of the cells that were made or changed. */
  async apply(asked: IApplied): Promise<{ cells: string[] }> {
    const changes = await this._changes();
    const cells = changes.apply(asked);
    this._applied.emit({ asked, cells });
    return { cells };
  }

  /** Take back what a run changed; what somebody has changed since stays unless *force* says otherwise. */
  async undo({ run, force }: { run: string; force?: boolean }): Promise<IUndone> {
    return (await this._changes()).undo(run, force);
  }

  /** Show what came of a cell that the kernel has run by itself. */
  async output(given: {
    cell: string;
    outputs: IOutput[];
    execution_count: number | null;
  }): Promise<Record<string, never>> {
    const model = (await this._cells()).find(({ id }) => id === given.cell);
    if (!model || !isCodeCellModel(model)) {
      const text = this._trans.__('There is no code cell %1 in the notebook.', given.cell);
      throw new DocumentError('NotFound', text);
    }
    model.outputs.fromJSON(given.outputs);
    model.executionCount = given.execution_count;
    model.executionState = 'idle';
    model.trusted = true; // as after every execution: its outputs came from the kernel
    return {};
  }

  /** Put a cell of the person's own making below another, or at the end; returns its id. */
  async insert(after: string | null, source: string, kind: CellKind): Promise<string> {
    const cells = await this._cells();
    const { content } = this.panel;
    const at = cells.findIndex(({ id }) => id === after) + 1 || cells.length;
    const metadata = kind === 'code' ? { trusted: true } : {};
    const shared = content.model!.sharedModel;
    const { id } = shared.insertCell(at, { cell_type: kind, source, metadata });
    await this._select(at);
    return id;
  }

  /** Replace the source of a cell, as the person would. */
  async replace(id: string, source: string): Promise<void> {
    const at = (await this._cells()).findIndex(cell => cell.id === id);
    const model = this.panel.content.model?.cells.get(at);
    if (model?.getMetadata('editable') === false) {
      throw new DocumentError('Locked', this._trans.__('That cell is read-only.'));
    }
    model?.sharedModel.setSource(source);
    await this._select(at);
  }

  private async _select(at: number): Promise<void> {
    const { content } = this.panel;
    content.deselectAll();
    content.activeCellIndex = at;
    content.mode = 'command';
    await content.scrollToItem(at).catch(() => undefined);
  }

  /** Run cells as the person does, in their turn among the others. */
  async run(ids: readonly string[]): Promise<void> {
    const { content, sessionContext } = this.panel;
    const cells = content.widgets.filter(({ model }) => ids.includes(model.id));
    await NotebookActions.runCells(content, cells, sessionContext);
  }

  /** The id of the cell that the kernel executes now. */
  get running(): string | null {
    const cell = this.panel.content.widgets.find(one => this._state(one.model) === 'running');
    return cell?.model.id ?? null;
  }

  /**
   * The cell that a call names: by its id or by its place, counted from 0; null if there is none.
   */
  find(name: unknown): ICellModel | null {
    const cells = Array.from(this.panel.content.model?.cells ?? []);
    const text = String(name);
    const place = /^\d+$/.test(text) ? cells[Number(text)] : undefined;
    return cells.find(({ id }) => id === text) ?? place ?? null;
  }

  private async _cells(): Promise<ICellModel[]> {
    const { context, content } = this.panel;
    if (!this.panel.isDisposed) {
      await context.ready;
    }
    if (this.panel.isDisposed || !content.model) {
      throw new DocumentError('Closed', this._trans.__('The notebook is not open any more.'));
    }
    return Array.from(content.model.cells);
  }

  private async _changes(): Promise<Changes> {
    await this._cells();
    const { model } = this.panel.content;
    if (!model || model.readOnly) {
      throw new DocumentError('ReadOnly', this._trans.__('The notebook is open for reading only.'));
    }
    // A notebook that was reverted or reloaded keeps its shared model.
    let made = changesOf.get(model.sharedModel);
    if (!made) {
      made = new Changes(model.sharedModel, this._trans, keptOf(this.path));
      changesOf.set(model.sharedModel, made);
    }
    return made;
  }

  private _record(cell: ICellModel): ICellRecord {
    const tags = cell.getMetadata('tags') as unknown;
    const code = isCodeCellModel(cell) ? cell : null;
    return {
      id: cell.id,
      kind: cell.type as CellKind,
      source: cell.sharedModel.source,
      execution_count: code?.executionCount ?? null,
      outputs: (code?.outputs.toJSON() ?? []).map(shortened),
      tags: Array.isArray(tags) ? tags.map(String) : [],
      state: this._state(cell)
    };
  }

  /** JupyterLab does not tell cells that wait from the one that runs. */
  private _state(cell: ICellModel): ICellRecord['state'] {
    if (!isCodeCellModel(cell) || cell.executionState !== 'running') {
      return 'idle';
    }
    const widget = this.panel.content.widgets.find(({ model }) => model === cell);
    const message = widget instanceof CodeCell ? widget.outputArea.future?.msg.header.msg_id : null;
    return message && message === this._executing ? 'running' : 'queued';
  }

  private _onMessage(_: unknown, message: KernelMessage.IMessage): void {
    if (KernelMessage.isExecuteInputMsg(message)) {
      this._executing = (message.parent_header as { msg_id?: string }).msg_id ?? null;
    }
  }

  private readonly _trans: Trans;
  private _executing: string | null = null;
  private _applied = new Signal<this, { asked: IApplied; cells: readonly string[] }>(this);
}

const documents = new WeakMap<NotebookPanel, OpenDocument>();
const changesOf = new WeakMap<object, Changes>();

/** Keeps what was changed in a notebook for as long as the tab is there. */
function keptOf(path: string): IKept {
  const key = `letta-kernel:changes:${path}`;
  return {
    read: () => sessionStorage.getItem(key),
    write: text => {
      try {
        sessionStorage.setItem(key, text);
      } catch {
        sessionStorage.removeItem(key); // too much for it: known until the page is loaded anew
      }
    }
  };
}

/** The panels of notebooks whose kernel this is. */
export function hasKernel(panel: NotebookPanel, kernel: Kernel.IKernelConnection): boolean {
  return !panel.isDisposed && panel.sessionContext.session?.kernel === kernel;
}

/** An output with its long texts cut and its large pictures left out. */
function shortened(output: IOutput): IOutput {
  const cut = (text: unknown): unknown => {
    const whole = Array.isArray(text) ? text.join('') : text;
    return typeof whole === 'string' && whole.length > LONGEST_TEXT
      ? `${whole.slice(0, LONGEST_TEXT)}…`
      : text;
  };
  const made: Record<string, unknown> = { ...output };
  if (typeof made.text === 'string' || Array.isArray(made.text)) {
    made.text = cut(made.text);
  }
  if (Array.isArray(made.traceback)) {
    made.traceback = String(cut(made.traceback.join('\n'))).split('\n');
  }
  if (typeof made.data === 'object' && made.data !== null) {
    const data = Object.entries(made.data as Record<string, MultilineString>);
    made.data = Object.fromEntries(
      data.flatMap(([type, value]) => {
        if (type.startsWith('image/') && type !== 'image/svg+xml') {
          return String(value).length > LARGEST_PICTURE ? [] : [[type, value]];
        }
        const text = typeof value === 'string' || Array.isArray(value);
        return !text && JSON.stringify(value).length > LONGEST_TEXT ? [] : [[type, cut(value)]];
      })
    );
  }
  return made as IOutput;
}
