// A plot of an agent: its figures, read while somebody looks at it.

import type { IChart } from '../../ui/chart';
import { Part } from './part';
import type { Ask } from './records';

export type PlotKind = 'memory' | 'tokens' | 'context' | 'branches' | 'retrieval';

export class PlotModel extends Part {
  constructor(
    ask: Ask,
    agent: string,
    readonly what: PlotKind
  ) {
    super(ask, agent);
  }

  chart: IChart | null = null;
  /** Whether a person has opened it. */
  open = false;
  /** What is searched for, where it is about that. */
  query = '';

  toggle(open: boolean): void {
    if (open !== this.open) {
      this.open = open;
      this.show(this._looked);
      this.emit();
    }
  }

  search(query: string): void {
    if (query !== this.query) {
      this.query = query;
      this.invalidate();
    }
  }

  override show(looked: boolean): void {
    this._looked = looked;
    super.show(looked && this.open);
  }

  protected async read(): Promise<void> {
    const { agent, what, query } = this;
    this.chart = await this.ask<IChart>('plot', { agent, what, query });
  }

  private _looked = false;
}
