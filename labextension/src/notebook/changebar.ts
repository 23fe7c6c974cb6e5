// The line above a notebook that says how many changes are proposed, and decides about all of them.

import type { NotebookPanel } from '@jupyterlab/notebook';
import { Widget } from '@lumino/widgets';

import { button, drawScopes } from '../ui/ask';
import { h, named } from '../ui/dom';
import type { Scope } from '../ui/choice';
import { keepKeys } from '../ui/keys';
import { oneLine, type Trans } from '../ui/words';

export interface IBarActions {
  go(step: number): void;
  decideAll(approve: boolean, scope: Scope): void;
}

export class ChangeBar {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _trans: Trans,
    actions: IBarActions
  ) {
    const scope = drawScopes(_trans);
    const step = (text: string, by: number, label: string, keys: string) => {
      const made = button(text, 'lk-mod-small', () => actions.go(by));
      made.setAttribute('aria-label', label);
      made.title = `${label} (${keys})`;
      return made;
    };
    const all = (approve: boolean) => () => actions.decideAll(approve, scope.value as Scope);
    this._said.setAttribute('role', 'status');
    this._node.append(
      this._said,
      step('↑', -1, _trans.__('Previous change'), 'Alt+Shift+F5'),
      step('↓', 1, _trans.__('Next change'), 'Alt+F5'),
      button(_trans.__('Accept all'), 'lk-mod-good lk-mod-small', all(true)),
      scope,
      button(_trans.__('Reject all'), 'lk-mod-bad lk-mod-small', all(false))
    );
    named(this._node, 'region', _trans.__('Proposed changes'));
    keepKeys(this._node);
  }

  /** Say who proposes how many changes; none: the line goes. */
  update(agents: readonly string[], count: number): void {
    const text = this._trans._n(
      '%2 proposes a change to this notebook.',
      '%2 proposes %1 changes to this notebook.',
      count,
      agents.map(name => oneLine(name, 40)).join(', ')
    );
    if (count && this._said.textContent !== text) {
      this._said.textContent = text;
    }
    if (count && !this._widget) {
      this._widget = new Line(this._node);
      this._panel.contentHeader.addWidget(this._widget);
    } else if (!count) {
      this._widget?.dispose();
      this._widget = null;
    }
    this._widget?.update();
  }

  private readonly _node = h('div', 'lk-Ask lk-ChangeBar');
  private readonly _said = h('span', 'lk-ChangeBar-said');
  private _widget: Line | null = null;
}

/** As high as what is in it, which the panel's layout does not see by itself. */
class Line extends Widget {
  constructor(content: HTMLElement) {
    super({ node: h('div', 'lk-ChangeBar-host', content) });
    this._content = content;
  }

  protected override onAfterAttach(): void {
    this.update();
  }

  protected override onResize(): void {
    this.update();
  }

  protected override onUpdateRequest(): void {
    const height = `${this._content.offsetHeight + 1}px`;
    if (this.node.style.minHeight !== height) {
      this.node.style.minHeight = height;
      this.parent?.fit();
    }
  }

  private _content: HTMLElement;
}
