// Changes that agents propose, shown in the notebook at the cells they are about.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Cell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import type { IWait, Waiting } from '../bridge/waiting';
import type { IChoice, Scope } from '../ui/choice';
import { argumentsOf, isChange } from '../ui/faces';
import type { ICall } from '../ui/page';
import type { Trans } from '../ui/words';
import { ChangeBar } from './changebar';
import { ChangeBox } from './changebox';
import type { OpenDocument } from './document';
import type { Spot } from './places';
import type { IApplied } from './records';
import type { Documents } from './serve';

/** Where in a notebook a change is shown. */
interface ITarget {
  readonly cell: Cell;
  readonly spot: Spot;
}

/** The proposed changes of all open notebooks. */
export class Proposals {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _notebooks: INotebookTracker,
    private readonly _documents: Documents,
    private readonly _waiting: Waiting,
    trans: Trans
  ) {
    const follow = (panel: NotebookPanel) => {
      const document = _documents.all.find(one => one.panel === panel);
      if (document) {
        this._shown.set(panel, new ShownChanges(document, this, _waiting, trans));
        panel.disposed.connect(() => this._shown.delete(panel));
      }
    };
    _notebooks.forEach(follow);
    _notebooks.widgetAdded.connect((_, panel) => follow(panel));
  }

  /** Where a call of a wait would change a notebook; null: nowhere, or it does not say. */
  target(document: OpenDocument, wait: Pick<IWait, 'rpc' | 'panel'>, call: ICall): ITarget | null {
    const given = isChange(call) ? argumentsOf(call) : null;
    if (!given || document.panel.isDisposed) {
      return null;
    }
    const rpc = this._documents.rpc(document.panel);
    const here = wait.panel === document.panel || (wait.rpc !== null && wait.rpc === rpc);
    if (!here && (wait.panel || wait.rpc)) {
      return null;
    }
    const cells = document.panel.content.widgets;
    // Of a run that nobody waits with here, only cells with an id of their own are known to be meant.
    const found = (name: unknown): Cell | null => {
      const model = document.find(name);
      return model && (here || model.id === name)
        ? (cells.find(one => one.model === model) ?? null)
        : null;
    };
    if (call.name !== 'notebook_insert') {
      const cell = found(given.cell);
      return cell && { cell, spot: 'source' };
    }
    const { after = null } = given;
    if (after === 'top') {
      return here && cells.length ? { cell: cells[0], spot: 'above' } : null;
    }
    const own = here ? (document.running ?? cells[cells.length - 1]?.model.id) : null;
    const cell = found(after ?? own);
    return cell && { cell, spot: 'below' };
  }

  /** Is this call shown, or about to be, as a change in a notebook? */
  shows(call: ICall, near: Node | null): boolean {
    const wait = this._waiting.waits.find(({ calls }) => calls.some(({ id }) => id === call.id));
    const documents = this._documents.all;
    if (wait) {
      return documents.some(document => this.target(document, wait, call) !== null);
    }
    // The cell hears of a question before the connection does.
    const document = documents.find(({ panel }) => near && panel.node.contains(near));
    const guess = { rpc: null, panel: document?.panel ?? null };
    return !!document && this.target(document, guess, call) !== null;
  }

  /** Show where a call would change something. */
  async show(call: string): Promise<void> {
    for (const [panel, shown] of this._shown) {
      if (shown.has(call)) {
        this._app.shell.activateById(panel.id);
        await shown.show(call);
        return;
      }
    }
  }

  /** Whether all that an agent waits with is before the person's eyes. */
  seen(wait: IWait): boolean {
    const panel = this._notebooks.currentWidget;
    const document = this._documents.all.find(one => one.panel === panel);
    return (
      !!document &&
      document.panel.isVisible &&
      wait.calls.every(call => this.target(document, wait, call) !== null)
    );
  }

  /** The changes shown in the notebook in front. */
  get inFront(): ShownChanges | null {
    const panel = this._notebooks.currentWidget;
    return (panel && this._shown.get(panel)) ?? null;
  }

  /** What is decided in this page is done in it. */
  decided(): void {
    this._documents.announce();
  }

  private readonly _shown = new Map<NotebookPanel, ShownChanges>();
}

/** The changes shown in one notebook. */
export class ShownChanges {
  constructor(
    private readonly _document: OpenDocument,
    private readonly _proposals: Proposals,
    private readonly _waiting: Waiting,
    private readonly _trans: Trans
  ) {
    const { panel } = _document;
    this._bar = new ChangeBar(panel, _trans, {
      go: step => this.go(step),
      decideAll: (approve, scope) => this.decideAll(approve, scope)
    });
    _waiting.changed.connect(this._update, this);
    panel.content.modelContentChanged.connect(this._soon, this);
    _document.applied.connect((_, { asked, cells }) => void this._runApplied(asked, cells));
    panel.disposed.connect(() => _waiting.changed.disconnect(this._update, this));
    this._update();
  }

  has(call: string): boolean {
    return this._boxes.has(call);
  }

  get count(): number {
    return this._boxes.size;
  }

  /** Bring a change into view, with the focus on it. */
  async show(call: string): Promise<void> {
    const box = this._boxes.get(call);
    if (box) {
      const { content } = this._document.panel;
      const index = content.widgets.indexOf(box.cell);
      await content.scrollToItem(index).catch(() => undefined);
      box.focus();
    }
  }

  /** Go so many changes on from the one that has the focus. */
  go(step: number): void {
    const order = this._inOrder();
    const now = order.findIndex(({ box }) => box.node.contains(document.activeElement));
    const next = now < 0 ? (step > 0 ? 0 : order.length - 1) : now + step;
    const found = order[(next + order.length) % order.length];
    if (found) {
      void this.show(found.call);
    }
  }

  /** Decide about the change that has the focus, or is at the selected cell. */
  decide(approve: boolean): void {
    const active = this._document.panel.content.activeCell;
    const order = this._inOrder();
    const box =
      order.find(one => one.box.node.contains(document.activeElement))?.box ??
      order.find(one => one.box.cell === active)?.box;
    if (approve) {
      box?.card.approve();
    } else {
      box?.card.deny();
    }
  }

  /** Decide about all changes that are shown here. */
  decideAll(approve: boolean, scope: Scope = ''): void {
    for (const { call, box } of this._inOrder()) {
      if (!box.card.decided) {
        this._decide(call, { approve, ...(approve && scope ? { scope } : {}) });
      }
    }
  }

  private _inOrder(): { call: string; box: ChangeBox }[] {
    const cells = this._document.panel.content.widgets;
    const spots: Spot[] = ['above', 'source', 'below'];
    const place = ({ cell, spot }: ChangeBox) => 3 * cells.indexOf(cell as Cell) + spots.indexOf(spot);
    return Array.from(this._boxes, ([call, box]) => ({ call, box })).sort(
      (one, other) => place(one.box) - place(other.box)
    );
  }

  /** Changes of the cells come many at a time. */
  private _soon(): void {
    if (!this._scheduled && (this._boxes.size || this._waiting.waits.length)) {
      this._scheduled = true;
      requestAnimationFrame(() => {
        this._scheduled = false;
        this._update();
      });
    }
  }

  /** Show what is proposed now. */
  private _update(): void {
    if (this._document.panel.isDisposed) {
      return;
    }
    const known = new Set<string>();
    const names = new Set<string>();
    for (const wait of this._waiting.waits) {
      for (const call of wait.calls) {
        const target = this._proposals.target(this._document, wait, call);
        if (target) {
          known.add(call.id);
          names.add(wait.agent.name);
          this._place(wait, call, target);
        }
      }
    }
    let focused = false;
    for (const [call, box] of this._boxes) {
      if (!known.has(call)) {
        focused ||= box.node.contains(document.activeElement);
        this._boxes.delete(call);
        box.dispose();
      }
    }
    this._bar.update([...names], [...this._boxes.values()].filter(({ card }) => !card.decided).length);
    if (focused) {
      this._document.panel.content.activeCell?.node.focus();
    }
  }

  private _place(wait: IWait, call: ICall, { cell, spot }: ITarget): void {
    let box = this._boxes.get(call.id);
    if (box && (box.cell !== cell || box.spot !== spot || box.isDisposed)) {
      box.dispose();
      box = undefined;
    }
    const decision = this._waiting.decision(call.id);
    if (box?.card.decided && !decision) {
      box.dispose(); // the answer was refused: it waits again
      box = undefined;
    }
    if (!box) {
      box = new ChangeBox(cell, spot, wait.agent.name, call, this._trans, {
        decide: (choice, run) => {
          if (run) {
            this._toRun.set(call.id, call);
          }
          this._decide(call.id, choice);
        },
        go: step => this.go(step)
      });
      this._boxes.set(call.id, box);
    }
    if (decision) {
      box.settle(decision);
    } else {
      box.redraw();
    }
  }

  private _decide(call: string, choice: IChoice): void {
    this._proposals.decided();
    this._waiting.decide(call, choice);
  }

  /** Run the cells that were accepted to be run, now that they are there. */
  private async _runApplied({ changes }: IApplied, cells: readonly string[]): Promise<void> {
    for (const [id, call] of this._toRun) {
      const given = argumentsOf(call);
      const index = changes.findIndex(
        change =>
          (change.op === 'edit' && this._document.find(given?.cell)?.id === change.cell) ||
          (change.op === 'insert' && call.name === 'notebook_insert')
      );
      if (index >= 0) {
        this._toRun.delete(id);
        await this._document.run([cells[index]]);
      }
    }
  }

  private readonly _boxes = new Map<string, ChangeBox>();
  private readonly _toRun = new Map<string, ICall>();
  private readonly _bar: ChangeBar;
  private _scheduled = false;
}
