// Places JupyterLab's own renderers inside elements that are not widgets.

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';

interface IChild {
  widget: IRenderMime.IRenderer;
  /** The model to draw next; only the newest of those that came while one was being drawn. */
  next: IRenderMime.IMimeModel | null;
  drawing: Promise<void> | null;
}

/**
 * Renderers by the element each is shown in. They have to be told when they come onto the page and
 * when they leave it, which their owner does through `attach` and `detach`.
 */
export class HostedRenderers {
  /** Draw a model with the renderer in `host`, made by `create` if there is none yet. */
  draw(host: HTMLElement, model: IRenderMime.IMimeModel, create: () => IRenderMime.IRenderer): void {
    let child = this._children.get(host);
    if (!child) {
      child = { widget: create(), next: null, drawing: null };
      this._children.set(host, child);
    }
    child.next = model;
    child.drawing ??= this._drawAll(child);
  }

  /** Resolves when everything asked for so far is drawn. */
  async drawn(): Promise<void> {
    await Promise.all(Array.from(this._children.values(), child => child.drawing));
  }

  /** Put onto the page what has a place there and is not yet on it. */
  attach(): void {
    for (const [host, { widget }] of this._children) {
      if (!widget.isAttached && host.isConnected) {
        Widget.attach(widget, host);
      }
    }
  }

  /** Take everything off the page, while the page still has it. */
  detach(): void {
    for (const { widget } of this._children.values()) {
      if (widget.isAttached) {
        Widget.detach(widget);
      }
    }
  }

  /** Dispose of the renderers in an element and below it. */
  release(element: HTMLElement): void {
    for (const [host, { widget }] of Array.from(this._children)) {
      if (element.contains(host)) {
        this._children.delete(host);
        widget.dispose();
      }
    }
  }

  /** The renderer shown in an element. */
  get(host: HTMLElement): IRenderMime.IRenderer | undefined {
    return this._children.get(host)?.widget;
  }

  private async _drawAll(child: IChild): Promise<void> {
    while (child.next && !child.widget.isDisposed) {
      const model = child.next;
      child.next = null;
      await child.widget.renderModel(model);
    }
    child.drawing = null;
  }

  private _children = new Map<HTMLElement, IChild>();
}
