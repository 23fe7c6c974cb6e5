// Outputs that are panels: the kernel's HTML stands, its tables filter and sort, and a live widget takes
// its place while there is one.

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { h } from './ui/dom';
import { HostedRenderers } from './hosted';
import { isRecord } from './ui/snapshot';
import { readKeys, TableTools } from './tabletools';
import { WidgetHost, type ILiveWidgets } from './widgethost';
import type { Trans } from './ui/words';

export const PANEL_MIME_TYPE = 'application/vnd.letta.panel.v1+json';

export interface IPanelRendererOptions {
  /** The registry of the document that the output is in. */
  rendermime: IRenderMimeRegistry;
  trans: Trans;
  /** Without it a widget view beside the HTML is never shown. */
  live?: ILiveWidgets;
}

/** Shows a panel. The HTML beside it is drawn as any HTML is: sanitised, unless the notebook is trusted. */
export class PanelRenderer extends Widget implements IRenderMime.IRenderer {
  constructor(options: IPanelRendererOptions) {
    super();
    this._rendermime = options.rendermime;
    this._trans = options.trans;
    this.addClass('lk-SavedPanel');
    this._widget = new WidgetHost({
      owner: this,
      rendermime: options.rendermime,
      hosted: this._hosted,
      live: options.live ?? null,
      onShown: shown => {
        this._saved.hidden = shown;
      }
    });
    this.node.append(this._saved, this._widget.node);
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const { data, trusted } = model;
    const type = typeof data['text/html'] === 'string' ? 'text/html' : 'text/plain';
    const inner = this._rendermime.createModel({ data: { [type]: data[type] ?? '' }, trusted });
    this._hosted.draw(this._saved, inner, () => this._rendermime.createRenderer(type));
    if (this.isAttached) {
      this._hosted.attach();
    }
    await this._hosted.drawn();
    const said = data[PANEL_MIME_TYPE];
    const keys = readKeys(isRecord(said) ? said.tables : null);
    const tables = Array.from(this._saved.querySelectorAll('table')).filter(table => table.tHead);
    tables.forEach((table, place) => TableTools.add(table, keys[place] ?? {}, this._trans));
    await this._widget.renderModel(model);
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
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

  private _rendermime: IRenderMimeRegistry;
  private _trans: Trans;
  private _hosted = new HostedRenderers();
  private _saved = h('div', 'lk-SavedPanel-html');
  private _widget: WidgetHost;
}
