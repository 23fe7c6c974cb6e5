// The renderer of a run's output, and its choice between the live widget and the saved snapshot.

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import type { Choices } from './cells/settings';
import { h } from './ui/dom';
import { hostsWith } from './ui/entries';
import { withFigures } from './ui/figures';
import type { Highlight } from './ui/markdown';
import { readSnapshot, RUN_MIME_TYPE, type ISnapshot } from './ui/snapshot';
import { ALL_FOLDED, RunView } from './ui/view';
import { OutputRenderer, type IOutputOptions } from './widgethost';

export interface IRunRendererOptions extends IOutputOptions {
  /** Without it code has one colour. */
  highlight?: Highlight;
  /** What of a run starts folded; without it, all that can be. */
  choices?: Choices;
}

/**
 * Shows a run. What is in it is drawn here and never handed to another renderer: all of it may be
 * written by a model, by a tool, or by whoever made the file.
 *
 * While a run goes on, its output also holds the view of a widget. The snapshot stands until that view
 * is really there and again as soon as it is gone, so that a page that was reloaded, or a kernel that
 * died, leaves the run as far as it was known and not a widget that cannot be found.
 */
export class RunRenderer extends OutputRenderer implements IRenderMime.IRenderer {
  constructor(options: IRunRendererOptions) {
    const hosts = hostsWith(options.highlight ?? null, options.trans);
    const view = new RunView(hosts, options.trans, () => options.choices?.folds ?? ALL_FOLDED);
    super(options, view.node);
    this.addClass('lk-RunRenderer');
    this._view = view;
    this._choices = options.choices ?? null;
    this._choices?.changed.connect(this._drawSnapshot, this);
  }

  /** Show the newest state of an output. */
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const snapshot = readSnapshot(
      withFigures(model.data[RUN_MIME_TYPE], model.data['text/html'])
    );
    this._snapshot = snapshot;
    if (snapshot) {
      this._drawSnapshot();
      this._notReadable.remove();
    } else {
      this._notReadable.textContent =
        typeof model.data['text/plain'] === 'string'
          ? model.data['text/plain']
          : this.trans.__('This run was saved by a later version of letta-kernel.');
      this.saved.before(this._notReadable);
    }
    await this.widget.renderModel(model);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._snapshot = null;
      this._choices?.changed.disconnect(this._drawSnapshot, this);
      this._view.dispose();
      super.dispose();
    }
  }

  protected override onShown(shown: boolean): void {
    this._drawSnapshot();
    if (!shown) {
      this._view.bound(); // as it was watched: nothing jumps when a run is over
    }
  }

  /** Draw the run as far as it is known, unless a widget stands in front of it. */
  private _drawSnapshot(): void {
    if (this._snapshot && !this.saved.hidden) {
      this._view.update(this._snapshot);
    }
  }

  private _view: RunView;
  private _choices: Choices | null;
  private _snapshot: ISnapshot | null = null;
  private _notReadable = h('pre', 'lk-Text');
}
