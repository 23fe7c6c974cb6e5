// One proposed change: what it would do to a cell, and the buttons to decide about it.

import type { Cell } from '@jupyterlab/cells';
import type { Widget } from '@lumino/widgets';

import { button, Card } from '../ui/ask';
import type { IChoice } from '../ui/choice';
import { h } from '../ui/dom';
import { argumentsOf } from '../ui/faces';
import { keepKeys } from '../ui/keys';
import type { ICall } from '../ui/page';
import { oneLine, type Trans } from '../ui/words';
import { putInto, type Spot } from './places';

export interface IBoxActions {
  /** Decide; with *run* the cell is to be run once it is changed. */
  decide(choice: IChoice, run: boolean): void;
  /** Go to another change, so many on. */
  go(step: number): void;
}

export class ChangeBox {
  constructor(
    readonly cell: Cell,
    readonly spot: Spot,
    agent: string,
    call: ICall,
    trans: Trans,
    actions: IBoxActions
  ) {
    let run = false;
    const andRun = button(trans.__('Accept and run'), '', () => {
      run = true;
      this.card.approve();
      run = false;
    });
    this.card = new Card(call, trans, choice => actions.decide(choice, run), runs(call, cell) ? [andRun] : []);
    const name = oneLine(agent, 60);
    this.node = h('div', `lk-Ask lk-Change lk-mod-${call.name}`, this.card.node);
    this.node.setAttribute('role', 'group');
    this.card.sign(h('b', '', name));
    this.node.setAttribute('aria-label', trans.__('Change proposed by %1', name));
    this.node.addEventListener('keydown', event => {
      if (event.key === 'F5' && event.altKey) {
        event.preventDefault();
        actions.go(event.shiftKey ? -1 : 1);
      }
    });
    keepKeys(this.node);
    this._goes = call.name === 'notebook_delete';
    cell.toggleClass('lk-mod-goes', this._goes);
    this._widget = putInto(cell, spot, this.node);
  }

  readonly node: HTMLElement;
  readonly card: Card;

  get isDisposed(): boolean {
    return this._widget.isDisposed;
  }

  focus(): void {
    this.node.scrollIntoView?.({ block: 'nearest' });
    this.node.querySelector<HTMLElement>('button')?.focus();
  }

  /** Show what was decided, while other changes are still to be decided. */
  settle({ approve }: IChoice): void {
    this.card.settle(approve);
    this.node.classList.add('lk-mod-decided');
  }

  /** Draw it again: the cell may have been edited. */
  redraw(): void {
    const source = this.cell.model.sharedModel.source;
    if (source !== this._source) {
      this._source = source;
      this.card.redraw();
    }
  }

  dispose(): void {
    if (this._goes && !this.cell.isDisposed) {
      this.cell.removeClass('lk-mod-goes');
    }
    this._widget.dispose();
  }

  private _widget: Widget;
  private _goes: boolean;
  private _source: string | null = null;
}

/** Is there a code cell to run when the change is made? */
function runs(call: ICall, cell: Cell): boolean {
  if (call.name === 'notebook_insert') {
    return (argumentsOf(call)?.kind ?? 'code') === 'code';
  }
  return call.name === 'notebook_edit' && cell.model.type === 'code';
}
