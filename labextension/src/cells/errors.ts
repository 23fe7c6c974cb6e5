// Explain and Fix, below the error of a cell.

import { isCodeCellModel, type CodeCell } from '@jupyterlab/cells';
import type { Kernel } from '@jupyterlab/services';
import type { Widget } from '@lumino/widgets';

import { Disposable } from '../disposable';
import { putInto } from '../notebook/places';
import { button } from '../ui/ask';
import { h, named } from '../ui/dom';
import { keepKeys } from '../ui/keys';
import type { Trans } from '../ui/words';
import { isAgentCell } from './firstline';

/** What the agent is asked about an error. */
export type AskedOfError = 'explain-error' | 'fix';

/** The buttons below one cell; there while it shows an error that an agent could be asked about. */
export class ErrorButtons extends Disposable {
  /**
   * @param can - Whether there is somebody to ask.
   */
  constructor(
    private readonly _cell: CodeCell,
    private readonly _can: () => boolean,
    private readonly _ask: (what: AskedOfError) => void,
    private readonly _trans: Trans
  ) {
    super();
    _cell.model.outputs.changed.connect(this.update, this);
    _cell.model.stateChanged.connect(this.update, this);
  }

  protected release(): void {
    this._widget?.dispose();
  }

  update(): void {
    if (this.isDisposed || this._cell.isDisposed) {
      return;
    }
    const { model } = this._cell;
    const wanted =
      errorPlace(this._cell) >= 0 &&
      model.executionState !== 'running' &&
      !isAgentCell(model.sharedModel.source) &&
      !/^\s*%agent\b/.test(model.sharedModel.source) &&
      this._can();
    if (wanted && !this._widget) {
      this._widget = putInto(this._cell, 'below', this._draw());
    } else if (!wanted && this._widget) {
      this._widget.dispose();
      this._widget = null;
    }
  }

  private _draw(): HTMLElement {
    const { _trans: trans } = this;
    const made = (text: string, title: string, what: AskedOfError) => {
      const one = button(text, 'lk-mod-small', () => this._ask(what));
      one.title = title;
      return one;
    };
    const node = h(
      'div',
      'lk-Errors',
      made(trans.__('Explain'), trans.__('Ask the agent what went wrong'), 'explain-error'),
      made(trans.__('Fix'), trans.__('Ask the agent for a change of this cell'), 'fix')
    );
    named(node, 'group', trans.__('Error'));
    keepKeys(node);
    return node;
  }

  private _widget: Widget | null = null;
}

/** The index of a cell's first output that is an error; -1 if there is none. */
function errorPlace(cell: CodeCell): number {
  const { outputs } = cell.model;
  return Array.from({ length: outputs.length }, (_, i) => outputs.get(i).type).indexOf('error');
}

/** Ask the agent about the error of a cell; the run is shown below the error, in place of an earlier one. */
export async function askAboutError(cell: CodeCell, what: AskedOfError, kernel: IExecutes): Promise<void> {
  const { model, outputArea } = cell;
  if (!isCodeCellModel(model) || model.executionState === 'running') {
    return;
  }
  const kept = model.outputs.toJSON().slice(0, errorPlace(cell) + 1);
  const future = kernel.requestExecute({
    code: `%agent ${what} --cell ${model.id}`,
    silent: false,
    store_history: false,
    allow_stdin: true,
    stop_on_error: false
  });
  outputArea.future = future; // which empties the area
  model.outputs.fromJSON(kept);
  model.executionState = 'running';
  try {
    await future.done;
  } catch {
    // the kernel was restarted, and says so itself
  } finally {
    if (!model.isDisposed && outputArea.future === future) {
      model.executionState = 'idle';
    }
  }
}

type IExecutes = Pick<Kernel.IKernelConnection, 'requestExecute'>;
