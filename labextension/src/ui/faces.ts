// How calls that wait for a person's word look: what they would do, and what of them can be edited.

import { revealed } from './clean';
import { h, type Child } from './dom';
import { drawDiff } from './entries';
import { thePage, type ICall, type ICell } from './page';
import { isRecord } from './snapshot';
import type { Trans } from './words';

export interface IFace {
  readonly title: Child[];
  readonly approve: string;
  readonly deny: string;
  /** What was said of it: approved, approved as edited, denied. */
  readonly said: readonly [string, string, string];
  /** Draw what the call would do, if the part that can be edited reads so. */
  draw(text: string): Node[];
  /** What can be edited; null: nothing. */
  readonly text: string | null;
  readonly label: string;
  /** The arguments that an edited text stands for; throws what is wrong with it, in one line. */
  read(text: string): Record<string, unknown>;
  /** Whether the word may hold for more than this call. */
  readonly scopes: boolean;
}

/** The calls that change cells, and the part of each that can be edited. */
const CHANGES: Record<string, string | null> = {
  notebook_insert: 'source',
  notebook_edit: 'source',
  notebook_delete: null,
  notebook_move: null
};

export function isChange(call: Pick<ICall, 'name'>): boolean {
  return Object.hasOwn(CHANGES, call.name);
}

/** A call's arguments by name; null if it has none that can be read. */
export function argumentsOf(call: Pick<ICall, 'arguments'>): Record<string, unknown> | null {
  try {
    const given: unknown = JSON.parse(call.arguments || '{}');
    return isRecord(given) ? given : null;
  } catch {
    return null;
  }
}

/** How a call looks; one that nothing better is known of is shown as JSON. */
export function faceOf(call: ICall, trans: Trans): IFace {
  const given = argumentsOf(call);
  const known = given && notebookFace(call, given, trans);
  return known ?? jsonFace(call, trans);
}

function jsonFace(call: ICall, trans: Trans): IFace {
  return {
    title: [trans.__('Allow'), ' ', h('b', 'lk-mod-code', call.name), '?'],
    approve: trans.__('Approve'),
    deny: trans.__('Deny'),
    said: [trans.__('approved'), trans.__('approved as edited'), trans.__('denied')],
    draw: text => [block(text)],
    text: indented(call.arguments),
    label: trans.__('Arguments of %1, as JSON', call.name),
    read: text => {
      const value: unknown = JSON.parse(text);
      if (!isRecord(value)) {
        throw new Error(trans.__('The arguments have to be a JSON object, {…}.'));
      }
      return value;
    },
    scopes: false
  };
}

function notebookFace(call: ICall, given: Record<string, unknown>, trans: Trans): IFace | null {
  const cell = (name: unknown): ICell | null => thePage()?.cell(name, call.id) ?? null;
  const named = (name: unknown) => cell(name)?.label ?? trans.__('cell %1', String(name));
  const face = (title: string, part: string | null, draw: IFace['draw'], label = ''): IFace => ({
    title: [title],
    approve: trans.__('Accept'),
    deny: trans.__('Reject'),
    said: [trans.__('accepted'), trans.__('accepted as edited'), trans.__('rejected')],
    draw,
    text: part === null ? null : String(given[part] ?? ''),
    label,
    read: text => (part === null ? given : { ...given, [part]: text }),
    scopes: !isChange(call)
  });
  const change = (before: string, text: string) => drawDiff(before, text, trans, true);
  switch (call.name) {
    case 'notebook_insert': {
      const kind = given.kind === 'markdown' ? trans.__('Insert this text?') : trans.__('Insert this cell?');
      return face(kind, 'source', text => change('', text), trans.__('Source of the new cell'));
    }
    case 'notebook_edit': {
      const title = trans.__('Change %1?', named(given.cell));
      const before = () => cell(given.cell)?.source ?? '';
      return face(title, 'source', text => change(before(), text), trans.__('New source of the cell'));
    }
    case 'notebook_delete': {
      const title = trans.__('Delete %1?', named(given.cell));
      return face(title, null, () => change(cell(given.cell)?.source ?? '', ''));
    }
    case 'notebook_move': {
      const title =
        given.after === 'top'
          ? trans.__('Move %1 to the top?', named(given.cell))
          : trans.__('Move %1 below %2?', named(given.cell), named(given.after));
      return face(title, null, () => []);
    }
    case 'notebook_run': {
      const label = trans.__('Code to run');
      return { ...face(trans.__('Run this code?'), 'code', text => [block(text)], label), ...running(trans) };
    }
    case 'notebook_run_cell': {
      const title = trans.__('Run %1?', named(given.cell));
      const source = cell(given.cell)?.source;
      const draw = () => (source ? [block(source)] : []);
      return { ...face(title, null, draw), ...running(trans) };
    }
    default:
      return null;
  }
}

function running(trans: Trans): Pick<IFace, 'approve' | 'deny' | 'said'> {
  return {
    approve: trans.__('Approve'),
    deny: trans.__('Deny'),
    said: [trans.__('approved'), trans.__('approved as edited'), trans.__('denied')]
  };
}

function block(text: string): HTMLElement {
  const made = h('pre', 'lk-Text', revealed(text));
  made.dir = 'auto';
  return made;
}

function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text || '{}'), null, 2);
  } catch {
    return text;
  }
}
