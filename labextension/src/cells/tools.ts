// The state of a tool, and the card that shows what the model is told of it.

import { h } from '../ui/dom';
import { isRecord } from '../ui/snapshot';
import { oneLine, type Trans } from '../ui/words';
import type { IToolEntry } from './roster';

export type ToolState = 'ok' | 'failing' | 'approval' | 'sandbox';

export const TOOL_GLYPHS: Record<ToolState, string> = {
  ok: '✓',
  failing: '✗',
  approval: '◇',
  sandbox: '▣'
};

/** The one state of a tool that a person should know first. */
export function toolState(tool: IToolEntry): ToolState {
  if (tool.failing) {
    return 'failing';
  }
  if (tool.requires_approval) {
    return 'approval';
  }
  return tool.place === 'sandbox' ? 'sandbox' : 'ok';
}

/** The same in words. */
export function toolWord(tool: IToolEntry, trans: Trans): string {
  switch (toolState(tool)) {
    case 'failing':
      return trans._n('failed once', 'failed %1 times', tool.failures);
    case 'approval':
      return trans.__('asks before each call');
    case 'sandbox':
      return trans.__('runs in a sandbox');
    default:
      return tool.calls > 0
        ? trans._n('ready, called once', 'ready, called %1 times', tool.calls)
        : trans.__('ready');
  }
}

/** The type of an argument as one short word, as far as its schema tells. */
export function typeWord(schema: unknown): string {
  if (!isRecord(schema)) {
    return '';
  }
  if (Array.isArray(schema.enum)) {
    return oneLine(schema.enum.map(value => JSON.stringify(value)).join(' | '), 60);
  }
  const choices = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(choices)) {
    return oneLine(choices.map(typeWord).filter(Boolean).join(' | '), 60);
  }
  if (schema.type === 'array') {
    const inner = typeWord(schema.items);
    return inner ? `array of ${inner}` : 'array';
  }
  return typeof schema.type === 'string' ? schema.type : '';
}

/** A card that stands below a badge while the pointer or the focus is on it. */
export class ToolCard {
  constructor(trans: Trans) {
    this._trans = trans;
    this.node.id = 'letta-kernel-tool-card';
    this.node.setAttribute('role', 'tooltip');
    document.addEventListener('keydown', this._onKey, true);
  }

  readonly node = h('div', 'lk-ToolCard');

  /** Show what the model is told of a tool, and how it has been doing. */
  show(tool: IToolEntry, anchor: HTMLElement): void {
    this.hide();
    this._anchor = anchor;
    const required = new Set(tool.parameters.required ?? []);
    const rows = Object.entries(tool.parameters.properties ?? {}).map(([name, schema]) => {
      const described = isRecord(schema) ? schema.description : '';
      const type = typeWord(schema);
      return h(
        'tr',
        '',
        h('th', '', h('code', '', oneLine(name, 60))),
        h('td', 'lk-muted', required.has(name) ? type : `${type} ${this._trans.__('(optional)')}`),
        h('td', '', typeof described === 'string' ? oneLine(described, 200) : '')
      );
    });
    this.node.replaceChildren(
      h('b', '', oneLine(tool.name, 100)),
      h('div', 'lk-ToolCard-description', tool.description.slice(0, 600)),
      ...(rows.length ? [h('table', '', h('tbody', '', ...rows))] : []),
      h(
        'div',
        'lk-muted lk-small',
        [
          toolWord(tool, this._trans),
          tool.last_error ? oneLine(tool.last_error, 200) : '',
          this._trans.__('click to run it by hand')
        ]
          .filter(Boolean)
          .join(' · ')
      )
    );
    document.body.append(this.node);
    anchor.setAttribute('aria-describedby', this.node.id);
    const at = anchor.getBoundingClientRect();
    const own = this.node.getBoundingClientRect();
    const below = at.bottom + 4 + own.height <= window.innerHeight;
    this.node.style.top = `${below ? at.bottom + 4 : Math.max(4, at.top - 4 - own.height)}px`;
    this.node.style.left = `${Math.max(4, Math.min(at.left, window.innerWidth - own.width - 8))}px`;
  }

  hide(): void {
    this._anchor?.removeAttribute('aria-describedby');
    this._anchor = null;
    this.node.remove();
  }

  dispose(): void {
    this.hide();
    document.removeEventListener('keydown', this._onKey, true);
  }

  private _onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') {
      this.hide();
    }
  };

  private _trans: Trans;
  private _anchor: HTMLElement | null = null;
}
