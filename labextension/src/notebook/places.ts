// Places in a cell for what is shown beside its source and its outputs.

import type { Cell } from '@jupyterlab/cells';
import { Widget, type PanelLayout } from '@lumino/widgets';

/** Above the cell, below its source, or below all of it. */
export type Spot = 'above' | 'source' | 'below';

/** Puts an element into a cell, as a widget of its own, once the cell is drawn. */
export function putInto(cell: Cell, spot: Spot, node: HTMLElement): Widget {
  const widget = new Widget({ node });
  void cell.ready.then(() => {
    if (cell.isDisposed || widget.isDisposed) {
      return;
    }
    const layout = cell.layout as PanelLayout;
    const at = (name: string) =>
      layout.widgets.findIndex(({ node: { classList } }) => classList.contains(name));
    const index =
      spot === 'above'
        ? at('jp-Cell-header') + 1
        : spot === 'source'
          ? at('jp-Cell-inputWrapper') + 1
          : at('jp-Cell-footer');
    layout.insertWidget(index < 0 ? layout.widgets.length : index, widget);
  });
  return widget;
}

/** Which cell it is, in a few words: by its number, else by how it begins. */
export function labelOf(cell: Cell['model'], codeCell: string): string {
  const count = (cell.sharedModel as { execution_count?: number | null }).execution_count;
  if (count) {
    return `${codeCell} [${count}]`;
  }
  const line = cell.sharedModel.source.trim().split('\n', 1)[0];
  return line ? `“${line.length > 40 ? `${line.slice(0, 40)}…` : line}”` : codeCell;
}
