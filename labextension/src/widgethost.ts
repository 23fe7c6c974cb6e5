// Shows the view of a widget for as long as its model lives; what stands there otherwise is its owner's.

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';

import { h, named } from './ui/dom';
import { HostedRenderers } from './hosted';
import { isRecord } from './ui/snapshot';
import type { Trans } from './ui/words';

export const WIDGET_VIEW_MIME_TYPE = 'application/vnd.jupyter.widget-view+json';

/** Knows which widget models live in the kernel that an output belongs to. */
export interface ILiveWidgets {
  has(modelId: string): boolean;
  /** Emitted when the answers may have changed. */
  readonly changed: ISignal<unknown, void>;
}

export interface IWidgetHostOptions {
  /** The widget this host is part of. */
  owner: Widget;
  rendermime: IRenderMimeRegistry;
  hosted: HostedRenderers;
  /** Without it a widget is never shown. */
  live: ILiveWidgets | null;
  /** Called when the widget's view is really there, and when it is gone again. */
  onShown: (shown: boolean) => void;
}

/** Give the focus, which something in an output had that is gone, to the output's cell. */
export function focusCell(node: HTMLElement): void {
  node.closest<HTMLElement>('.jp-Cell')?.focus();
}

/**
 * A page that was reloaded, or a kernel that died, must leave what is known and not a widget that cannot
 * be found. So the owner's own drawing stands until the view is there, and again as soon as it is gone.
 */
export class WidgetHost {
  constructor(options: IWidgetHostOptions) {
    this._options = options;
    this.node.hidden = true;
    options.live?.changed.connect(this._onLiveChanged, this);
  }

  readonly node = h('div', 'lk-Widget');

  /** Take the widget view that an output has beside it, if one can be trusted. */
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const view = model.trusted ? model.data[WIDGET_VIEW_MIME_TYPE] : null;
    this._view = isRecord(view) ? (view as ReadonlyPartialJSONObject) : null;
    await this._choose();
    await this._options.hosted.drawn();
  }

  dispose(): void {
    this._options.live?.changed.disconnect(this._onLiveChanged, this);
    this._view = null;
    this._drop();
  }

  private _onLiveChanged(): void {
    void this._choose();
  }

  private async _choose(): Promise<void> {
    const { live, rendermime } = this._options;
    const modelId = this._view?.model_id;
    const lives =
      typeof modelId === 'string' &&
      live?.has(modelId) === true &&
      rendermime.getFactory(WIDGET_VIEW_MIME_TYPE) !== undefined;
    if (!lives) {
      this._drop();
    } else if (this._shown !== modelId) {
      this._drop();
      await this._draw(modelId);
    }
  }

  private async _draw(modelId: string): Promise<void> {
    const { hosted, owner, rendermime } = this._options;
    this._shown = modelId;
    // A copy: the widget renderer empties the model id when the widget closes.
    const data = { [WIDGET_VIEW_MIME_TYPE]: { ...this._view } };
    const renderer = rendermime.createRenderer(WIDGET_VIEW_MIME_TYPE);
    const model = rendermime.createModel({ data, trusted: true });
    hosted.draw(this.node, model, () => renderer);
    if (owner.isAttached) {
      hosted.attach();
    }
    // After a reload the renderer may have to wait for the kernel, and draws when that has answered.
    this._drawn = new MutationObserver(() => this._reveal(renderer));
    this._drawn.observe(renderer.node, { childList: true, subtree: true });
    await hosted.drawn();
    this._reveal(renderer);
  }

  private _reveal(renderer: IRenderMime.IRenderer): void {
    const { hosted, onShown } = this._options;
    const widget = renderer instanceof Panel ? renderer.widgets[0] : undefined;
    // A view that has drawn nothing yet waits for the kernel to say what.
    if (!widget?.node.firstChild || hosted.get(this.node) !== renderer || !this.node.hidden) {
      return;
    }
    widget.disposed.connect(() => {
      if (hosted.get(this.node) === renderer) {
        this._drop();
      }
    });
    this._drawn?.disconnect();
    this.node.hidden = false;
    onShown(true);
  }

  private _drop(): void {
    this._drawn?.disconnect();
    this._shown = null;
    const shown = !this.node.hidden;
    const focused = this.node.contains(document.activeElement);
    this.node.hidden = true;
    this._options.hosted.release(this.node);
    if (shown) {
      this._options.onShown(false);
    }
    if (focused) {
      focusCell(this.node);
    }
  }

  private _options: IWidgetHostOptions;
  private _view: ReadonlyPartialJSONObject | null = null;
  private _drawn: MutationObserver | null = null;
  private _shown: string | null = null;
}

export interface IOutputOptions {
  /** The registry of the document that the output is in. */
  rendermime: IRenderMimeRegistry;
  trans: Trans;
  /** Without it a widget view beside what is saved is never shown. */
  live?: ILiveWidgets;
}

/** An output that shows what is saved, and in its place a live widget while there is one. */
export abstract class OutputRenderer extends Widget {
  /**
   * @param saved - Where what is saved is shown.
   */
  constructor(
    { rendermime, trans, live }: IOutputOptions,
    protected readonly saved: HTMLElement
  ) {
    super();
    this.trans = trans;
    this.widget = new WidgetHost({
      owner: this,
      rendermime,
      hosted: this.hosted,
      live: live ?? null,
      onShown: shown => {
        saved.hidden = shown;
        this.onShown(shown);
      }
    });
    this.node.append(saved, this.widget.node);
    if (typeof ResizeObserver !== 'undefined') {
      this._sizes = new ResizeObserver(() => this._reach());
      [this.node, saved, this.widget.node].forEach(node => this._sizes?.observe(node));
    }
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._sizes?.disconnect();
      this.widget.dispose();
      this.hosted.release(this.node);
      super.dispose();
    }
  }

  /** The live widget has come, or is gone again. */
  protected onShown(_shown: boolean): void {}

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.hosted.attach();
  }

  protected override onBeforeDetach(message: Message): void {
    this.hosted.detach();
    super.onBeforeDetach(message);
  }

  /** What scrolls can be reached and scrolled by keys. */
  private _reach(): void {
    const { node } = this;
    if (node.scrollWidth > node.clientWidth || node.scrollHeight > node.clientHeight + 1) {
      node.tabIndex = 0;
      named(node, 'group', this.trans.__('Output that scrolls'));
    } else {
      ['tabindex', 'role', 'aria-label'].forEach(name => node.removeAttribute(name));
    }
  }

  private _sizes: ResizeObserver | null = null;
  protected readonly trans: Trans;
  protected readonly hosted = new HostedRenderers();
  protected readonly widget: WidgetHost;
}
