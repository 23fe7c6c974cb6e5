// What this page does for the runs shown in it: code of an answer into cells, changes shown in the notebook.

import { Notification } from '@jupyterlab/apputils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import type { Waiting } from '../bridge/waiting';
import type { ICall, ICell, ICodePlace, IPage } from '../ui/page';
import { oneLine, type Trans } from '../ui/words';
import type { OpenDocument } from './document';
import { labelOf } from './places';
import type { Proposals } from './proposals';
import type { Documents } from './serve';

const PYTHON = ['', 'python', 'python3', 'py', 'ipython'];
const MARKDOWN = ['markdown', 'md'];

export class Page implements IPage {
  constructor(
    private readonly _notebooks: INotebookTracker,
    private readonly _documents: Documents,
    private readonly _waiting: Waiting,
    private readonly _proposals: Proposals,
    private readonly _trans: Trans
  ) {
    const follow = ({ content }: NotebookPanel) =>
      content.activeCellChanged.connect((_, cell) => {
        // A click on a button in an output selects its cell: what was selected before is what is meant.
        const before = this._selected.get(content) ?? [];
        this._selected.set(content, cell ? [cell.model.id, before[0] ?? ''] : before);
      });
    _notebooks.forEach(follow);
    _notebooks.widgetAdded.connect((_, panel) => follow(panel));
  }

  place(node: Node, language: string): ICodePlace | null {
    const document = this._at(node);
    const { panel } = document ?? {};
    if (!document || !panel?.content.model || panel.content.model.readOnly) {
      return null;
    }
    const { content, sessionContext } = panel;
    if (!sessionContext.session?.kernel) {
      return null; // a notebook that is only read
    }
    const own = content.widgets.find(cell => cell.node.contains(node))?.model.id ?? null;
    const [last, before] = this._selected.get(content) ?? [content.activeCell?.model.id ?? '', ''];
    const selected = document.find(own === last ? before : last);
    const replaced = selected && selected.id !== own ? selected : null;
    const kind = MARKDOWN.includes(language) ? 'markdown' : 'code';
    const insert = (code: string) => document.insert(own ?? (last || null), code, kind);
    const guarded =
      <A extends unknown[]>(act: (...given: A) => unknown) =>
      (...given: A): void => {
        void Promise.resolve()
          .then(() => act(...given))
          .catch(error => Notification.error(oneLine(String(error.message ?? error), 135)));
      };
    const runs = PYTHON.includes(language) && this._documents.rpc(panel) !== null;
    return {
      insert: guarded(insert),
      replace: replaced && guarded(code => document.replace(replaced.id, code)),
      replaces: replaced ? this._label(replaced) : '',
      run: runs ? guarded(async code => document.run([await insert(code)])) : null
    };
  }

  cell(name: unknown, call: string): ICell | null {
    const found = this._cellOf(name, call);
    return found && { source: found.sharedModel.source, label: this._label(found) };
  }

  shows(call: ICall, near: Node | null): boolean {
    return this._proposals.shows(call, near);
  }

  show(call: string): void {
    void this._proposals.show(call);
  }

  decide(...given: Parameters<IPage['decide']>): void {
    this._proposals.decided();
    this._waiting.decide(...given);
  }

  private _cellOf(name: unknown, call: string) {
    const wait = this._waiting.waits.find(({ calls }) => calls.some(({ id }) => id === call));
    const meant = wait?.calls.find(({ id }) => id === call);
    const { all } = this._documents;
    const document =
      wait && meant ? all.find(one => this._proposals.target(one, wait, meant) !== null) : undefined;
    // An id is of one cell only; a place is of any notebook.
    const exact = all.map(one => one.find(name)).find(cell => cell?.id === name);
    return document?.find(name) ?? exact ?? (wait ? null : (all[0]?.find(name) ?? null));
  }

  private _label(cell: Parameters<typeof labelOf>[0]): string {
    return labelOf(cell, this._trans.__('cell'));
  }

  /** The notebook that something is shown in; beside notebooks, the one in front. */
  private _at(node: Node): OpenDocument | null {
    const { all } = this._documents;
    const own = all.find(({ panel }) => panel.node.contains(node));
    const chat = node.parentElement?.closest('.lk-Panel');
    const front = chat && all.find(({ panel }) => panel === this._notebooks.currentWidget);
    return own ?? front ?? null;
  }

  /** The selected cell of each notebook, and the one before it. */
  private readonly _selected = new WeakMap<object, string[]>();
}
