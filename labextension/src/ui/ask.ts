// What a person is asked: calls to approve, or a question. Keys stay here, away from the notebook.

import { h } from './dom';
import type { IToolCall } from './transcript';
import type { Trans } from './words';

/** A person's word on one call; `arguments` replaces the model's if they edited them. */
export interface IChoice {
  approve: boolean;
  reason?: string;
  arguments?: Record<string, unknown>;
}

export function button(text: string, className: string, act: () => void): HTMLButtonElement {
  const made = h('button', `lk-Button ${className}`, text);
  made.type = 'button';
  made.addEventListener('click', act);
  return made;
}

/** A field to write in; Enter makes a line where there may be several. */
export function field(label: string, value = '', rows = 1): HTMLTextAreaElement {
  const made = h('textarea', 'lk-Field');
  made.value = value;
  made.rows = rows;
  made.dir = 'auto';
  made.setAttribute('aria-label', label);
  return made;
}

/** Keys pressed in an element are no shortcuts of a notebook, whose fields also take new lines. */
export function keepKeys(node: HTMLElement): void {
  node.dataset.lmSuppressShortcuts = 'true';
  const keep = (event: InputEvent) => {
    if (event.inputType === 'insertLineBreak') {
      event.stopPropagation();
    }
  };
  node.addEventListener('beforeinput', keep, true);
}

/** Call `act` at an Enter that is neither part of a word being composed nor a new line. */
export function onEnter(node: HTMLElement, act: () => void): void {
  node.addEventListener('keydown', event => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      act();
    }
  });
}

/** Ask a question; `answer` is called once. */
export function drawQuestion(text: string, trans: Trans, answer: (text: string) => void): HTMLElement {
  const node = group(trans.__('Question'));
  const given = field(trans.__('Your answer'), '', 2);
  const go = () => {
    node.querySelectorAll<HTMLButtonElement>('button, textarea').forEach(one => (one.disabled = true));
    answer(given.value);
  };
  onEnter(given, go);
  const title = h('div', 'lk-Ask-title', text);
  title.dir = 'auto';
  node.append(title, given, h('div', 'lk-Buttons', button(trans.__('Answer'), 'lk-mod-good', go)));
  return node;
}

/** Ask for a word on each of some calls; `decide` is called once for each. */
export function drawApproval(
  calls: readonly IToolCall[],
  trans: Trans,
  decide: (call: IToolCall, choice: IChoice) => void
): HTMLElement {
  const node = group(trans.__('Approval'));
  const cards = calls.map(call => new Card(call, trans, choice => decide(call, choice)));
  node.append(...cards.map(card => card.node));
  if (cards.length > 1) {
    node.append(
      h(
        'div',
        'lk-Buttons lk-Ask-all',
        button(trans.__('Approve all'), 'lk-mod-good', () => cards.forEach(card => card.approve())),
        button(trans.__('Deny all'), 'lk-mod-bad', () => cards.forEach(card => card.deny()))
      )
    );
  }
  return node;
}

function group(label: string): HTMLElement {
  const node = h('div', 'lk-Ask');
  node.setAttribute('role', 'group');
  node.setAttribute('aria-label', label);
  keepKeys(node);
  return node;
}

class Card {
  constructor(
    call: IToolCall,
    private _trans: Trans,
    private _decide: (choice: IChoice) => void
  ) {
    const written = indented(call.arguments);
    this._given = h('pre', 'lk-Text', written);
    this._given.dir = 'auto';
    this._edited = field(_trans.__('Arguments of %1, as JSON', call.name), written);
    this._edited.rows = Math.min(written.split('\n').length + 1, 14);
    this._edited.classList.add('lk-mod-code');
    this._edited.spellcheck = false;
    this._edited.hidden = true;
    const why = _trans.__('Why not (optional)');
    this._reason = field(why);
    this._reason.placeholder = why;
    onEnter(this._reason, () => this.deny());
    this._wrong.setAttribute('role', 'alert');
    this._title.append(_trans.__('Allow'), ' ', h('b', 'lk-mod-code', call.name), '?');
    this._buttons.append(
      button(_trans.__('Approve'), 'lk-mod-good', () => this.approve()),
      button(_trans.__('Deny'), 'lk-mod-bad', () => this.deny()),
      button(_trans.__('Edit'), '', () => this._edit()),
      this._reason
    );
    this.node.append(this._title, this._given, this._edited, this._wrong, this._buttons);
  }

  readonly node = h('div', 'lk-Ask-card');

  approve(): void {
    if (this._edited.hidden) {
      this._settle(this._trans.__('approved'), { approve: true });
      return;
    }
    let value: unknown;
    try {
      value = JSON.parse(this._edited.value);
    } catch (error) {
      this._wrong.textContent = String(error instanceof Error ? error.message : error);
      return;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this._wrong.textContent = this._trans.__('The arguments have to be a JSON object, {…}.');
      return;
    }
    this._given.textContent = this._edited.value;
    this._given.hidden = false;
    this._settle(this._trans.__('approved as edited'), {
      approve: true,
      arguments: value as Record<string, unknown>
    });
  }

  deny(): void {
    const reason = this._reason.value.trim();
    this._settle(this._trans.__('denied'), { approve: false, ...(reason ? { reason } : {}) });
  }

  private _edit(): void {
    this._edited.hidden = !this._edited.hidden;
    this._given.hidden = this._reason.hidden = !this._edited.hidden;
    this._wrong.textContent = '';
    if (!this._edited.hidden) {
      this._edited.focus();
    }
  }

  private _settle(said: string, choice: IChoice): void {
    if (this._decided) {
      return;
    }
    this._decided = true;
    [this._buttons, this._edited, this._wrong].forEach(node => node.remove());
    this._title.append(h('span', 'lk-muted lk-small', ` ${said}`));
    this._decide(choice);
  }

  private _decided = false;
  private _title = h('div', 'lk-Ask-title');
  private _given: HTMLElement;
  private _edited: HTMLTextAreaElement;
  private _reason: HTMLTextAreaElement;
  private _wrong = h('div', 'lk-Wrong');
  private _buttons = h('div', 'lk-Buttons');
}

function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text || '{}'), null, 2);
  } catch {
    return text;
  }
}
