// The renderer of a run's output, and its choice between the live widget and the saved snapshot.

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import type { Choices } from './cells/settings';
import { h } from './ui/dom';
import { hostsWith } from './ui/entries';
import { withFigures } from './ui/figures';
import { HostedRenderers } from './hosted';
import type { Highlight } from './ui/markdown';
import { readSnapshot, RUN_MIME_TYPE, type ISnapshot } from './ui/snapshot';
import { ALL_FOLDED, RunView } from './ui/view';
import { WidgetHost, type ILiveWidgets } from './widgethost';
import type { Trans } from './ui/words';

export interface IRunRendererOptions {
  /** The registry of the document that the output is in. */
  rendermime: IRenderMimeRegistry;
  trans: Trans;
  /** Without it a widget view beside the snapshot is never shown. */
  live?: ILiveWidgets;
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
export class RunRenderer extends Widget implements IRenderMime.IRenderer {
  constructor(options: IRunRendererOptions) {
    super();
    this.addClass('lk-RunRenderer');
    this._trans = options.trans;
    const hosts = hostsWith(options.highlight ?? null, options.trans);
    this._view = new RunView(hosts, options.trans, () => options.choices?.folds ?? ALL_FOLDED);
    this._choices = options.choices ?? null;
    this._choices?.changed.connect(this._drawSnapshot, this);
    this._widget = new WidgetHost({
      owner: this,
      rendermime: options.rendermime,
      hosted: this._hosted,
      live: options.live ?? null,
      onShown: shown => {
        this._view.node.hidden = shown;
        this._drawSnapshot();
        if (!shown) {
          this._view.bound(); // as it was watched: nothing jumps when a run is over
        }
      }
    });
    this.node.append(this._view.node, this._widget.node);
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
          : this._trans.__('This run was saved by a later version of letta-kernel.');
      this._view.node.before(this._notReadable);
    }
    await this._widget.renderModel(model);
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._snapshot = null;
    this._choices?.changed.disconnect(this._drawSnapshot, this);
    this._view.dispose();
    this._widget.dispose();
    this._hosted.release(this.node);
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._hosted.attach();
  }

  protected override onBeforeDetach(message: Message): void {
    this._hosted.detach();
    super.onBeforeDetach(message);
  }

  /** Draw the run as far as it is known, unless a widget stands in front of it. */
  private _drawSnapshot(): void {
    if (this._snapshot && !this._view.node.hidden) {
      this._view.update(this._snapshot);
    }
  }

  private _trans: Trans;
  private _view: RunView;
  private _choices: Choices | null;
  private _snapshot: ISnapshot | null = null;
  private _hosted = new HostedRenderers();
  private _notReadable = h('pre', 'lk-Text');
  private _widget: WidgetHost;
}
