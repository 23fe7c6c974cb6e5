// What a person is asked: calls to approve, or a question. Keys stay here, away from the notebook.

import type { IChoice, Scope } from './choice';
import { h, named } from './dom';
import { faceOf, isChange, type IFace } from './faces';
import { keepKeys } from './keys';
import { thePage } from './page';
import type { IToolCall } from './items';
import type { Trans } from './words';
import { messageOf } from './words';

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

/** Call `act` at an Enter that is neither part of a word being composed nor a new line. */
function onEnter(node: HTMLElement, act: () => void): void {
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

/**
 * Ask for a word on each of some calls; `decide` is called once for each. Changes that the page shows in a
 * notebook are decided there as well: then the page is told instead.
 *
 * @param near - Where the question stands.
 */
export function drawApproval(
  calls: readonly IToolCall[],
  trans: Trans,
  decide: (call: IToolCall, choice: IChoice) => void,
  near: Node | null = null
): HTMLElement {
  const node = group(trans.__('Approval'));
  const page = thePage();
  const shown = calls.filter(call => page?.shows(call, near));
  const say = shown.length
    ? (call: IToolCall, choice: IChoice) => page?.decide(call.id, choice)
    : decide;
  const cards = calls
    .filter(call => !shown.includes(call))
    .map(call => new Card(call, trans, choice => say(call, choice)));
  if (shown.length) {
    const text = trans._n(
      'A change is proposed in the notebook.',
      '%1 changes are proposed in the notebook.',
      shown.length
    );
    const show = button(trans.__('Show'), '', () => page?.show(shown[0].id));
    node.append(h('div', 'lk-Ask-title', text), h('div', 'lk-Buttons', show));
  }
  node.append(...cards.map(card => card.node));
  if (calls.length > 1 || shown.length) {
    const changes = calls.every(isChange);
    const one = calls.length === 1;
    const [yes, no] = changes
      ? one
        ? [trans.__('Accept'), trans.__('Reject')]
        : [trans.__('Accept all'), trans.__('Reject all')]
      : [trans.__('Approve all'), trans.__('Deny all')];
    const all = (approve: boolean) => () => {
      cards.forEach(card => (approve ? card.approve() : card.deny()));
      shown.forEach(call => page?.decide(call.id, { approve }));
    };
    const buttons = [button(yes, 'lk-mod-good', all(true)), button(no, 'lk-mod-bad', all(false))];
    const beside = cards.length === 0 ? node.querySelector('.lk-Buttons') : null;
    if (beside) {
      beside.append(...buttons);
    } else {
      node.append(h('div', 'lk-Buttons lk-Ask-all', ...buttons));
    }
  }
  return node;
}

export function group(label: string): HTMLElement {
  const node = h('div', 'lk-Ask');
  named(node, 'group', label);
  keepKeys(node);
  return node;
}

/** One call, what it would do, and what can be said about it. */
export class Card {
  /**
   * @param more - Buttons beside that of approval.
   */
  constructor(
    call: IToolCall,
    trans: Trans,
    private _decide: (choice: IChoice) => void,
    more: readonly HTMLElement[] = []
  ) {
    this._face = faceOf(call, trans);
    this._scope = drawScopes(trans);
    const { text, label, title, approve, deny, scopes } = this._face;
    this._edited = field(label, text ?? '');
    this._edited.rows = Math.min((text ?? '').split('\n').length + 1, 14);
    this._edited.classList.add('lk-mod-code');
    this._edited.spellcheck = false;
    this._edited.hidden = true;
    this._edited.addEventListener('keydown', event => this._onKey(event));
    const why = trans.__('Why not (optional)');
    this._reason = field(why);
    this._reason.placeholder = why;
    onEnter(this._reason, () => this.deny());
    this._wrong.setAttribute('role', 'alert');
    this._title.append(...title.filter(child => !!child).map(child => child as Node | string));
    this._given.append(...this._face.draw(text ?? ''));
    this._buttons.append(
      button(approve, 'lk-mod-good', () => this.approve()),
      ...more,
      button(deny, 'lk-mod-bad', () => this.deny()),
      ...(text === null ? [] : [button(trans.__('Edit'), '', () => this._edit())]),
      ...(scopes ? [this._scope] : []),
      this._reason
    );
    this.node.append(this._title, this._given, this._edited, this._wrong, this._buttons);
  }

  readonly node = h('div', 'lk-Ask-card');

  /** Whether the word was given. */
  get decided(): boolean {
    return this._decided;
  }

  /** Say before the title who asks. */
  sign(name: Node): void {
    this._title.prepend(name, ' · ');
  }

  /** Draw again what the call would do, unless somebody is editing that. */
  redraw(): void {
    if (this._edited.hidden && !this._decided) {
      this._given.replaceChildren(...this._face.draw(this._edited.value));
    }
  }

  approve(): void {
    const scope = (this._scope.value || undefined) as Scope | undefined;
    const choice: IChoice = { approve: true, ...(scope ? { scope } : {}) };
    if (this._edited.hidden) {
      this._settle(0, choice);
      return;
    }
    try {
      choice.arguments = this._face.read(this._edited.value);
    } catch (error) {
      this._wrong.textContent = messageOf(error);
      return;
    }
    this._given.replaceChildren(...this._face.draw(this._edited.value));
    this._given.hidden = false;
    this._settle(1, choice);
  }

  deny(): void {
    const reason = this._reason.value.trim();
    this._settle(2, { approve: false, ...(reason ? { reason } : {}) });
  }

  /** The word was given elsewhere. */
  settle(approve: boolean): void {
    this._settle(approve ? 0 : 2);
  }

  private _settle(said: 0 | 1 | 2, choice?: IChoice): void {
    if (this._decided) {
      return;
    }
    this._decided = true;
    const focused = this.node.contains(document.activeElement);
    [this._buttons, this._edited, this._wrong].forEach(node => node.remove());
    this._title.append(h('span', 'lk-muted lk-small', ` ${this._face.said[said]}`));
    if (focused) {
      this.node.tabIndex = -1;
      this.node.focus(); // what had the focus is gone: the next key goes on from here
    }
    if (choice) {
      this._decide(choice);
    }
  }

  private _edit(): void {
    this._edited.hidden = !this._edited.hidden;
    this._given.hidden = this._reason.hidden = !this._edited.hidden;
    this._wrong.textContent = '';
    if (!this._edited.hidden) {
      this._edited.focus();
    }
  }

  private _onKey(event: KeyboardEvent): void {
    if (event.key === 'Escape') {
      event.stopPropagation();
      this._edit();
      this._buttons.querySelector('button')?.focus();
    } else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.approve();
    }
  }

  private _decided = false;
  private _face: IFace;
  private _title = h('div', 'lk-Ask-title');
  private _given = h('div', 'lk-Ask-given');
  private _edited: HTMLTextAreaElement;
  private _reason: HTMLTextAreaElement;
  private _wrong = h('div', 'lk-Wrong');
  private _buttons = h('div', 'lk-Buttons');
  private _scope: HTMLSelectElement;
}

/** A choice of what a word holds for. */
export function drawScopes(trans: Trans): HTMLSelectElement {
  const made = h('select', 'lk-Field lk-Scope');
  made.setAttribute('aria-label', trans.__('For how long'));
  const choices: [Scope, string][] = [
    ['', trans.__('this time')],
    ['run', trans.__('for this run')],
    ['notebook', trans.__('for this notebook')],
    ['agent', trans.__('always for this agent')]
  ];
  for (const [value, text] of choices) {
    const option = h('option', '', text);
    option.value = value;
    made.append(option);
  }
  return made;
}
