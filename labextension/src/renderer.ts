// The renderer of a run's output, and its choice between the live widget and the saved snapshot.

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Message } from '@lumino/messaging';
import type { ISignal } from '@lumino/signaling';
import { Panel, Widget } from '@lumino/widgets';

import { drawDisplay } from './display';
import { h } from './dom';
import type { IHosts } from './entries';
import { HostedRenderers } from './hosted';
import { drawMarkdown, hasFormulas, highlightCode, type Highlight } from './markdown';
import { isRecord, readSnapshot, RUN_MIME_TYPE, type ISnapshot } from './snapshot';
import { RunView } from './view';
import type { Trans } from './words';

const WIDGET_VIEW_MIME_TYPE = 'application/vnd.jupyter.widget-view+json';

/** Knows which widget models live in the kernel that an output belongs to. */
export interface ILiveWidgets {
  has(modelId: string): boolean;
  /** Emitted when the answers may have changed. */
  readonly changed: ISignal<unknown, void>;
}

export interface IRunRendererOptions {
  /** The registry of the document that the output is in. */
  rendermime: IRenderMimeRegistry;
  trans: Trans;
  /** Without it a widget view beside the snapshot is never shown. */
  live?: ILiveWidgets;
  /** Without it code has one colour. */
  highlight?: Highlight;
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
    this._rendermime = options.rendermime;
    this._trans = options.trans;
    this._live = options.live ?? null;
    this._highlight = options.highlight ?? null;
    const markdown = (host: HTMLElement, text: string) => this._drawMarkdown(host, text);
    const hosts: IHosts = {
      markdown,
      bundle: (host, bundle) => drawDisplay(host, bundle, markdown)
    };
    this._view = new RunView(hosts, options.trans);
    this._widgetHost.hidden = true;
    this.node.append(this._view.node, this._widgetHost);
    this._live?.changed.connect(this._onLiveChanged, this);
  }

  /** Show the newest state of an output. */
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const snapshot = readSnapshot(model.data[RUN_MIME_TYPE]);
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
    const view = model.trusted ? model.data[WIDGET_VIEW_MIME_TYPE] : null;
    this._widgetView = isRecord(view) ? (view as ReadonlyPartialJSONObject) : null;
    await this._chooseView();
    await this._hosted.drawn();
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._live?.changed.disconnect(this._onLiveChanged, this);
    this._snapshot = null;
    this._dropWidget();
    this._hosted.release(this.node);
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._hosted.attach();
    this._finishMarkdown();
  }

  protected override onBeforeDetach(message: Message): void {
    this._hosted.detach();
    super.onBeforeDetach(message);
  }

  private _onLiveChanged(): void {
    void this._chooseView();
  }

  /** Show the widget if its model lives, the snapshot otherwise. */
  private async _chooseView(): Promise<void> {
    const modelId = this._widgetView?.model_id;
    const lives =
      typeof modelId === 'string' &&
      this._live?.has(modelId) === true &&
      this._rendermime.getFactory(WIDGET_VIEW_MIME_TYPE) !== undefined;
    if (!lives) {
      this._dropWidget();
    } else if (this._shownModel !== modelId) {
      this._dropWidget();
      await this._drawWidget(modelId);
    }
  }

  private async _drawWidget(modelId: string): Promise<void> {
    this._shownModel = modelId;
    // A copy: the widget renderer empties the model id when the widget closes.
    const data = { [WIDGET_VIEW_MIME_TYPE]: { ...this._widgetView } };
    const renderer = this._rendermime.createRenderer(WIDGET_VIEW_MIME_TYPE);
    const model = this._rendermime.createModel({ data, trusted: true });
    this._hosted.draw(this._widgetHost, model, () => renderer);
    if (this.isAttached) {
      this._hosted.attach();
    }
    // After a reload the renderer may have to wait for the kernel, and draws when that has answered.
    this._widgetDrawn = new MutationObserver(() => this._revealWidget(renderer));
    this._widgetDrawn.observe(renderer.node, { childList: true });
    await this._hosted.drawn();
    this._revealWidget(renderer);
  }

  private _revealWidget(renderer: IRenderMime.IRenderer): void {
    const widget = renderer instanceof Panel ? renderer.widgets[0] : undefined;
    if (!widget || this._hosted.get(this._widgetHost) !== renderer || !this._widgetHost.hidden) {
      return;
    }
    widget.disposed.connect(() => {
      if (this._hosted.get(this._widgetHost) === renderer) {
        this._dropWidget();
      }
    });
    this._view.node.hidden = true;
    this._widgetHost.hidden = false;
  }

  private _dropWidget(): void {
    this._widgetDrawn?.disconnect();
    this._shownModel = null;
    this._widgetHost.hidden = true;
    this._hosted.release(this._widgetHost);
    if (this._view.node.hidden) {
      this._view.node.hidden = false;
      this._drawSnapshot();
    }
  }

  /** Draw the run as far as it is known, unless a widget stands in front of it. */
  private _drawSnapshot(): void {
    if (this._snapshot && !this._view.node.hidden) {
      this._view.update(this._snapshot);
      this._finishMarkdown();
    }
  }

  private _drawMarkdown(host: HTMLElement, text: string): void {
    drawMarkdown(host, text);
    this._unfinished.add(host);
  }

  /** Colour the code and typeset the mathematics of what is on the page. */
  private _finishMarkdown(): void {
    if (!this.isAttached) {
      return;
    }
    for (const host of this._unfinished) {
      if (this._highlight) {
        void highlightCode(host, this._highlight);
      }
      if (hasFormulas(host)) {
        void this._rendermime.latexTypesetter?.typeset(host);
      }
    }
    this._unfinished.clear();
  }

  private _rendermime: IRenderMimeRegistry;
  private _trans: Trans;
  private _live: ILiveWidgets | null;
  private _highlight: Highlight | null;
  private _view: RunView;
  private _snapshot: ISnapshot | null = null;
  private _unfinished = new Set<HTMLElement>();
  private _hosted = new HostedRenderers();
  private _notReadable = h('pre', 'lk-Text');
  private _widgetHost = h('div', 'lk-Widget');
  private _widgetView: ReadonlyPartialJSONObject | null = null;
  private _widgetDrawn: MutationObserver | null = null;
  private _shownModel: string | null = null;
}
