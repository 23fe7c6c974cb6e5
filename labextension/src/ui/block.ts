// One memory block: read, edited in place, compared with what somebody else wrote meanwhile.

import { button, field } from './ask';
import { kindOf, lengthOf, writerOf, type IBlock, type IBlockHost } from './blocks';
import { Conflict } from './conflict';
import { h, named } from './dom';
import { History, moment } from './history';
import { NEARLY_FULL } from './limits';
import { told } from './told';
import { grouped, oneLine, messageOf } from './words';

/** A sentence of a block and where it comes from. */
interface ISentence {
  text: string;
  version: number;
  at: string;
  origin: string;
  /** The step that wrote it, if one did that is still there. */
  step?: string | null;
}

/** What is being written by a person. */
interface IEditor {
  text: HTMLTextAreaElement;
  save: HTMLButtonElement;
  /** The version it began from. */
  version: number;
  /** What that held; null: both texts are being compared. */
  base: string | null;
}

/** Characters that are shown of a long text until all of it is asked for. */
const LONG = 2_000;

/** A text field is as high as its text, within these pixels. */
const LOWEST = 56;
const HIGHEST = 420;

export class BlockView {
  constructor(
    private _memory: IBlockHost,
    private _block: IBlock
  ) {
    const { trans } = _memory;
    const { label } = _block;
    const tool = (word: string, title: string, act: () => void) => {
      const made = button(word, 'lk-mod-small', act);
      made.title = title;
      made.setAttribute('aria-label', `${word} ${label}`);
      return made;
    };
    const step = (method: string, said: string) => (event: HTMLButtonElement) => {
      const params = { expected_version: this._block.version };
      void this._act(method, params, trans.__('%1: %2.', label, said)).then(() =>
        (event.disabled ? this._change : event).focus()
      );
    };
    const undo = step('block.undo', trans.__('undone'));
    const redo = step('block.redo', trans.__('redone'));
    this._undo = tool(trans.__('Undo'), trans.__('Back to the text before'), () => undo(this._undo));
    this._redo = tool(trans.__('Redo'), trans.__('Take back an undo'), () => redo(this._redo));
    this._change = tool(trans.__('Edit'), trans.__('Edit (or double-click the text)'), () => this._edit());
    this._past = tool(trans.__('History'), trans.__('All versions, and what changed between them'), () =>
      this._toggle()
    );
    this._past.setAttribute('aria-expanded', 'false');
    const remove = tool(trans.__('Remove'), trans.__('Take this block from the agent'), () => this._remove());
    this._tools.append(
      ...(_memory.textAlone
        ? [this._change]
        : [this._undo, this._redo, this._past, this._change, remove])
    );
    this._history = new History(_memory, label);
    this._history.node.hidden = true;
    this._label.dir = this._about.dir = this._value.dir = 'auto';
    this._bar.setAttribute('role', 'meter');
    this._wrong.setAttribute('role', 'alert');
    if (!_memory.textAlone) {
      this._value.addEventListener('click', () => void this._trace());
    }
    this._value.addEventListener('dblclick', () => this._edit());
    named(this.node, 'group', trans.__('Memory block %1', label));
    const head = h('div', 'lk-Memory-head', this._label, this._shared, this._figures);
    this.node.append(
      h('div', 'lk-Memory-top', head, this._tools),
      this._about,
      this._written,
      this._bar,
      this._value,
      this._origin,
      this._below,
      this._wrong,
      this._history.node
    );
    this._draw();
  }

  readonly node = h('div', 'lk-Block');

  /** Show the block as it is now; whether its text is another one. */
  update(block: IBlock): boolean {
    const changed = this._block.version !== block.version;
    this._block = block;
    this._draw();
    if (changed) {
      this._origin.replaceChildren();
      this._value.classList.remove('lk-mod-new');
      void this._value.offsetWidth; // so that the mark begins anew
      this._value.classList.add('lk-mod-new');
      if (!this._history.node.hidden) {
        void this._history.read();
      }
      if (this._editor && !this._saving && block.version !== this._editor.version) {
        this._meanwhile();
      }
    }
    return changed;
  }

  /** The agent no longer has this block; what a person has typed stays until they leave it. */
  taken(): void {
    this._gone = true;
    if (!this._editor) {
      this.node.remove();
    } else {
      const { trans } = this._memory;
      this._say(trans.__('The agent no longer has this block; your text cannot be saved to it.'));
    }
  }

  private _draw(): void {
    const { description, how, label, read_only, shared_with, value } = this._block;
    const { trans } = this._memory;
    this._label.textContent = label;
    this._about.textContent = description;
    this._about.hidden = !description;
    const others = shared_with.join(', ');
    this._shared.textContent = others && trans.__('shared with %1', others);
    this._shared.hidden = this._written.hidden = !others;
    const writer = writerOf(this._block, trans);
    const written =
      how ? trans.__('Last written by %1, %2', writer, how) : trans.__('Last written by %1', writer);
    this._written.textContent = others && written;
    const long = value.length > 1.2 * LONG;
    const more = button(this._whole ? trans.__('less') : trans.__('more'), 'lk-mod-small', () => {
      this._whole = !this._whole;
      this._draw();
    });
    const shown = long && !this._whole ? `${value.slice(0, LONG)}… ` : value;
    this._value.replaceChildren(shown || trans.__('empty'), ...(long ? [more] : []));
    this._value.classList.toggle('lk-mod-empty', !value);
    [this._undo, this._redo, this._change].forEach(tool => (tool.hidden = read_only));
    this._undo.disabled = !this._block.undoable;
    this._redo.disabled = !this._block.redoable;
    if (!this._editor) {
      this._measure(value, true);
    }
  }

  /** Tell how full it is, or would be with a text; whether that fits. */
  private _measure(value: string, saved = false): boolean {
    const { trans } = this._memory;
    const { limit, tokens, version, read_only } = this._block;
    const size = lengthOf(value);
    const share = size / Math.max(limit, 1);
    const filled = trans.__('%1 of %2 characters', grouped(size), grouped(limit));
    this._figures.textContent = [
      filled,
      saved && trans._n('%2 token', '%2 tokens', tokens, grouped(tokens)),
      `v${version}`,
      read_only && trans.__('read only')
    ]
      .filter(Boolean)
      .join(' · ');
    this._fill.style.width = `${Math.min(100 * share, 100)}%`;
    this._fill.dataset.level = share > 1 ? 'over' : share > NEARLY_FULL ? 'high' : 'fine';
    const described = {
      label: trans.__('How full %1 is', this._block.label),
      valuemin: 0,
      valuemax: limit,
      valuenow: Math.min(size, limit),
      valuetext: filled
    };
    for (const [name, said] of Object.entries(described)) {
      this._bar.setAttribute(`aria-${name}`, String(said));
    }
    return size <= limit;
  }

  private _say(text: string): void {
    this._wrong.textContent = text;
  }

  /** Do something with the block; whether it was done. */
  private async _act(method: string, params: object, said: string): Promise<unknown> {
    this._say('');
    try {
      await this._memory.ask(method, { label: this._block.label, ...params });
      this._memory.say(said);
      return null;
    } catch (error) {
      this._say(messageOf(error));
      return error;
    }
  }

  /** Tell where the sentence comes from that a person has clicked. */
  private async _trace(): Promise<void> {
    const place = getSelection();
    if (!place?.isCollapsed || place.anchorNode !== this._value.firstChild) {
      return;
    }
    let at = place.anchorOffset;
    const { label } = this._block;
    const found = await this._memory
      .ask<ISentence[]>('block.origin', { label })
      .catch(() => []);
    const one = found.find(({ text }) => (at -= text.length) < 0) ?? found.at(-1);
    if (!one) {
      this._origin.replaceChildren();
      return;
    }
    const { ask, trans } = this._memory;
    const said = `“${oneLine(one.text, 60)}” · v${one.version ?? '?'} · ${moment(one.at)} · ${one.origin} `;
    const why = button(trans.__('Explain'), 'lk-mod-small', () =>
      this._origin.replaceChildren(said, told(ask, trans, 'explain', { at: one.step }))
    );
    why.title = trans.__('Explain the step that wrote this');
    this._origin.replaceChildren(said, ...(one.step ? [why] : []));
  }

  private _remove(): void {
    const { trans } = this._memory;
    const { label } = this._block;
    const close = () => {
      this._below.replaceChildren();
      this._tools.hidden = false;
      this._change.focus();
    };
    const go = () => {
      close();
      void this._act('block.detach', {}, trans.__('%1 is removed.', label));
    };
    const text = trans.__('The agent no longer has this block. Other agents that share it keep it.');
    const sure = button(trans.__('Remove'), 'lk-mod-bad', go);
    sure.setAttribute('aria-label', trans.__('Remove %1 now', label));
    this._tools.hidden = true;
    this._below.replaceChildren(
      h('div', 'lk-small', text),
      h('div', 'lk-Buttons', sure, button(trans.__('Cancel'), '', close))
    );
    sure.focus();
  }

  private _edit(): void {
    if (this._editor) {
      this._editor.text.focus();
      return;
    }
    const { label, read_only, value, version } = this._block;
    if (read_only) {
      return;
    }
    const { trans } = this._memory;
    const text = this._field(trans.__('Text of %1', label), value);
    const save = button(trans.__('Save'), 'lk-mod-good', () => void this._save());
    const hint = trans.__('Ctrl+Enter saves, Escape leaves it as it was');
    this._value.hidden = true;
    this._tools.hidden = true;
    this._base = value;
    this._open({ text, save, version, base: value }, [
      text,
      h(
        'div',
        'lk-Buttons',
        save,
        button(trans.__('Cancel'), '', () => this._leave()),
        h('span', 'lk-muted lk-small', hint)
      )
    ]);
    text.setSelectionRange(value.length, value.length);
  }

  private _open(editor: IEditor, nodes: HTMLElement[]): void {
    const { text, save } = editor;
    this._editor = editor;
    text.addEventListener('input', () => (save.disabled = !this._measure(text.value)));
    text.addEventListener('keydown', event => this._key(event, editor));
    save.disabled = !this._measure(text.value);
    this._below.replaceChildren(...nodes);
    text.focus();
  }

  private _field(label: string, value: string): HTMLTextAreaElement {
    const node = field(label, value);
    const grow = () => {
      node.style.height = 'auto';
      node.style.height = `${Math.min(Math.max(node.scrollHeight + 2, LOWEST), HIGHEST)}px`;
    };
    node.addEventListener('input', grow);
    requestAnimationFrame(grow);
    return node;
  }

  private _key(event: KeyboardEvent, { base, save, text }: IEditor): void {
    if (event.isComposing) {
      return;
    }
    if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      if (text.value === base || this._leaving) {
        this._leave();
      } else {
        this._leaving = true;
        this._say(this._memory.trans.__('Escape again throws your text away.'));
      }
    } else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      event.stopPropagation();
      save.click();
    } else {
      this._leaving = false;
    }
  }

  private _leave(): void {
    this._editor = null;
    this._leaving = this._saving = false;
    if (this._gone) {
      this.node.remove();
    }
    this._say('');
    this._below.replaceChildren();
    this._value.hidden = this._tools.hidden = false;
    this._measure(this._block.value, true);
    this._change.focus();
  }

  private async _save(): Promise<void> {
    const editor = this._editor;
    if (!editor || this._saving) {
      return;
    }
    const { trans } = this._memory;
    const { label } = this._block;
    this._saving = true;
    const params = { value: editor.text.value, expected_version: editor.version };
    const error = await this._act('block.write', params, trans.__('%1 is saved.', label));
    this._saving = false;
    if (!this._editor) {
      return;
    }
    if (error === null) {
      this._leave();
    } else if (kindOf(error) === 'ConflictError') {
      this._missed = true;
      if (this._block.version !== editor.version) {
        this._compare();
      }
    }
  }

  /** The block moved on under the person's hands: said at once, decided when they save. */
  private _meanwhile(): void {
    const editor = this._editor as IEditor;
    if (editor.text.value === editor.base) {
      editor.text.value = editor.base = this._base = this._block.value; // nothing typed yet: go on from the new text
      editor.version = this._block.version;
    } else if (editor.base === null || this._missed) {
      this._compare();
    } else {
      const { trans } = this._memory;
      const { by } = this._block;
      this._say(
        by
          ? trans.__('%1 changed this block while you edit it; saving will show you both texts.', by)
          : trans.__('This block was changed while you edit it; saving will show you both texts.')
      );
    }
  }

  /** Show both texts. */
  private _compare(): void {
    const { trans } = this._memory;
    const { label } = this._block;
    const mine = (this._editor as IEditor).text.value;
    const text = this._field(trans.__('Your text of %1', label), mine);
    const conflict = new Conflict(this._block, this._base, text, trans, {
      save: () => void this._save(),
      leave: () => this._leave(),
      say: said => this._memory.say(said)
    });
    this._missed = false;
    this._say('');
    this._memory.say(trans.__('%1 Choose which text stays.', conflict.title));
    const { version } = this._block;
    this._open({ text, save: conflict.keep, version, base: null }, [conflict.node]);
  }

  private _toggle(): void {
    const { node } = this._history;
    node.hidden = !node.hidden;
    this._past.setAttribute('aria-expanded', String(!node.hidden));
    if (!node.hidden) {
      void this._history.read();
    }
  }

  private _label = h('b', '');
  private _shared = h('span', 'lk-Shared lk-small');
  private _written = h('div', 'lk-muted lk-small');
  private _figures = h('span', 'lk-muted lk-small');
  private _about = h('div', 'lk-muted lk-small');
  private _fill = h('div', 'lk-Fill-part');
  private _bar = h('div', 'lk-Fill-bar', this._fill);
  private _value = h('div', 'lk-Block-value');
  private _tools = h('div', 'lk-Buttons');
  private _origin = h('div', 'lk-muted lk-small');
  private _below = h('div', '');
  private _wrong = h('div', 'lk-Wrong');
  private _history: History;
  private _undo: HTMLButtonElement;
  private _redo: HTMLButtonElement;
  private _past: HTMLButtonElement;
  private _change: HTMLButtonElement;
  private _editor: IEditor | null = null;
  /** The text that both a person's and the one that came meanwhile began from. */
  private _base: string | null = null;
  private _saving = false;
  private _whole = false;
  private _leaving = false;
  /** Saving was refused for a version that is not known here yet. */
  private _missed = false;
  private _gone = false;
}
