// Follows the code cells of one notebook: sets how they are edited and keeps a strip above each.

import type { CodeCell } from '@jupyterlab/cells';
import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { NotebookPanel } from '@jupyterlab/notebook';

import { Disposable } from '../disposable';
import type { Trans } from '../ui/words';
import { ErrorButtons, type AskedOfError } from './errors';
import { isAgentCell } from './firstline';
import { AGENT_CELL_MIME } from './prose';
import type { Roster } from './roster';
import { CellStrip, type IStripActions } from './strip';

/** What the buttons of a cell do. */
export interface ICellActions extends IStripActions {
  askAboutError(what: AskedOfError): void;
}

export type ActionsFor = (panel: NotebookPanel, cell: CodeCell) => ICellActions;

/** One code cell that is watched. */
class WatchedCell extends Disposable {
  constructor(
    readonly cell: CodeCell,
    private readonly _panel: NotebookPanel,
    private readonly _roster: Roster,
    private readonly _languages: IEditorLanguageRegistry,
    actions: ICellActions,
    trans: Trans
  ) {
    super();
    this.strip = new CellStrip(actions, trans);
    const can = () => _roster.facts(_panel) !== null;
    this._errors = new ErrorButtons(cell, can, what => actions.askAboutError(what), trans);
    this._code = cell.model.mimeType === AGENT_CELL_MIME ? '' : cell.model.mimeType;
    cell.model.sharedModel.changed.connect(this._onChange, this);
    cell.model.mimeTypeChanged.connect(this._onMimeType, this);
    cell.disposed.connect(this.dispose, this);
    void cell.ready.then(() => this._attach());
    this._setMimeType();
    this.update();
  }

  readonly strip: CellStrip;

  protected release(): void {
    this.strip.node.remove();
    this._errors.dispose();
  }

  update(): void {
    if (!this.isDisposed) {
      const facts = this._roster.facts(this._panel);
      this.strip.update(this.cell.model.sharedModel.source, this.cell.model.id, facts);
      this._errors.update();
    }
  }

  /** The header of a cell is there once the cell has been drawn. */
  private _attach(): void {
    if (!this.isDisposed) {
      this.cell.node.querySelector('.jp-Cell-header')?.append(this.strip.node);
    }
  }

  private _onChange(_: unknown, change: { sourceChange?: unknown }): void {
    if (change.sourceChange) {
      this._setMimeType();
      this.update();
    }
  }

  /** The notebook gives every cell the kernel's language, now and then anew. */
  private _onMimeType(): void {
    if (this.cell.model.mimeType !== AGENT_CELL_MIME) {
      this._code = this.cell.model.mimeType;
      this._setMimeType();
    }
  }

  private _setMimeType(): void {
    const wanted = isAgentCell(this.cell.model.sharedModel.source) ? AGENT_CELL_MIME : this._code;
    const before = this.cell.model.mimeType;
    if (wanted && before !== wanted) {
      this.cell.model.mimeType = wanted;
      void this._outlast(before);
    }
  }

  /** An editor shows the language that was loaded last, not the one asked for last: ask once more. */
  private async _outlast(before: string): Promise<void> {
    const other = this._languages.findByMIME(before);
    if (!other || other.support) {
      return;
    }
    await this._languages.getLanguage(before).catch(() => null);
    await new Promise(resolve => setTimeout(resolve)); // the editor waits for it too
    if (other.support && !this.isDisposed && this.cell.model.mimeType === AGENT_CELL_MIME) {
      this.cell.model.mimeType = before; // which sets ours again
    }
  }

  private readonly _errors: ErrorButtons;
  private _code: string;
}

/** The code cells of one notebook. */
export class CellWatcher extends Disposable {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _roster: Roster,
    private readonly _languages: IEditorLanguageRegistry,
    private readonly _actions: ActionsFor,
    private readonly _trans: Trans
  ) {
    super();
    _panel.content.modelContentChanged.connect(this._scheduleSync, this);
    _panel.content.modelChanged.connect(this._scheduleSync, this);
    _roster.changed.connect(this._onRoster, this);
    _panel.disposed.connect(this.dispose, this);
    void _panel.context.ready.then(() => this._sync());
  }

  protected release(): void {
    this._cells.forEach(watched => watched.dispose());
    this._cells.clear();
  }

  /** The strip above a cell. */
  strip(cell: CodeCell): CellStrip | null {
    return this._cells.get(cell)?.strip ?? null;
  }

  /** Many changes of a notebook come at once. */
  private _scheduleSync(): void {
    if (!this._scheduled) {
      this._scheduled = true;
      void Promise.resolve().then(() => {
        this._scheduled = false;
        this._sync();
      });
    }
  }

  private _sync(): void {
    if (this.isDisposed || this._panel.content.isDisposed) {
      return;
    }
    for (const [cell, watched] of this._cells) {
      if (cell.isDisposed) {
        watched.dispose();
        this._cells.delete(cell);
      }
    }
    for (const widget of this._panel.content.widgets) {
      const cell = widget as CodeCell;
      if (widget.model.type === 'code' && !this._cells.has(cell)) {
        const actions = this._actions(this._panel, cell);
        this._cells.set(
          cell,
          new WatchedCell(cell, this._panel, this._roster, this._languages, actions, this._trans)
        );
      }
    }
  }

  private _onRoster(_: Roster, panel: NotebookPanel): void {
    if (panel === this._panel) {
      this._cells.forEach(watched => watched.update());
    }
  }

  private _cells = new Map<CodeCell, WatchedCell>();
  private _scheduled = false;
}
