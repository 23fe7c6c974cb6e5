// What the page around a run can do for it. The JupyterLab extension leaves it there for the widgets of its
// page, which are modules of their own; in other front ends there is nothing, and what needs it is not shown.

import type { IChoice } from './choice';

/** A cell, as far as a person has to know which one is meant. */
export interface ICell {
  readonly source: string;
  /** Which it is, in a few words. */
  readonly label: string;
}

/** A call, as far as it tells what it would do. */
export interface ICall {
  readonly id: string;
  readonly name: string;
  /** As the model wrote it. */
  readonly arguments: string;
}

/** What code of an answer can be used for. */
export interface ICodePlace {
  /** Put it into a new cell. */
  insert(code: string): void;
  /** Put it into the selected cell, which `replaces` names; null if none is selected. */
  readonly replace: ((code: string) => void) | null;
  readonly replaces: string;
  /** Put it into a new cell and run that; null if the kernel cannot run it. */
  readonly run: ((code: string) => void) | null;
}

export interface IPage {
  /** Where code that is shown at a node can go; null: nowhere. */
  place(node: Node, language: string): ICodePlace | null;
  /** The cell that a call names. */
  cell(name: unknown, call: string): ICell | null;
  /** Is this call shown as a change in a notebook? `near` is where it is asked about. */
  shows(call: ICall, near: Node | null): boolean;
  /** Show the change that a call would make. */
  show(call: string): void;
  /** Decide about a call; the agent is told when all of its calls are decided. */
  decide(call: string, choice: IChoice): void;
}

const PAGE = Symbol.for('letta-kernel.page');

/** The page's hand, if it has one. */
export function thePage(): IPage | null {
  return (globalThis as Record<symbol, IPage | undefined>)[PAGE] ?? null;
}

/** Leave a hand for the runs of this page. */
export function setPage(page: IPage | null): void {
  Object.assign(globalThis, { [PAGE]: page ?? undefined });
}
