// Outputs that are panels: the kernel's HTML stands, its tables filter and sort, and a live widget takes
// its place while there is one.

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Message } from '@lumino/messaging';

import { drawChoices, type Ask } from './decide';
import { h } from './ui/dom';
import { isRecord } from './ui/snapshot';
import { readKeys, TableTools } from './tabletools';
import { focusCell, OutputRenderer, type IOutputOptions } from './widgethost';

export const PANEL_MIME_TYPE = 'application/vnd.letta.panel.v1+json';

export interface IPanelOptions extends IOutputOptions {
  /** Without it nothing in a panel can be decided. */
  ask?: Ask;
}

/** Shows a panel. The HTML beside it is drawn as any HTML is: sanitised, unless the notebook is trusted. */
export class PanelRenderer extends OutputRenderer implements IRenderMime.IRenderer {
  constructor(options: IPanelOptions) {
    super(options, h('div', 'lk-SavedPanel-html'));
    this._rendermime = options.rendermime;
    this._ask = options.ask ?? null;
    this.addClass('lk-SavedPanel');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const { data, trusted } = model;
    const type = typeof data['text/html'] === 'string' ? 'text/html' : 'text/plain';
    const inner = this._rendermime.createModel({ data: { [type]: data[type] ?? '' }, trusted });
    this.hosted.draw(this.saved, inner, () => this._rendermime.createRenderer(type));
    if (this.isAttached) {
      this.hosted.attach();
    }
    await this.hosted.drawn();
    const said = data[PANEL_MIME_TYPE];
    const keys = readKeys(isRecord(said) ? said.tables : null);
    const tables = Array.from(this.saved.querySelectorAll('table')).filter(table => table.tHead);
    tables.forEach((table, place) => TableTools.add(table, keys[place] ?? {}, this.trans));
    const focused = this._choices?.contains(document.activeElement);
    this._choices?.remove();
    this._choices = this._ask && isRecord(said) ? drawChoices(said, this._ask, this.trans) : null;
    if (this._choices) {
      this.saved.after(this._choices);
    } else if (focused) {
      focusCell(this.node); // it was decided there
    }
    await this.widget.renderModel(model);
  }

  protected override onBeforeDetach(message: Message): void {
    if (this._choices?.contains(document.activeElement)) {
      focusCell(this.node); // it was decided there, and another output takes the place of this one
    }
    super.onBeforeDetach(message);
  }

  private _rendermime: IRenderMimeRegistry;
  private _ask: Ask | null;
  private _choices: HTMLElement | null = null;
}
