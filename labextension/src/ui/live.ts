// A run while it happens: its view, a button that stops it, what the person is asked.

import { button, drawApproval, drawQuestion } from './ask';
import type { IChoice } from './choice';
import { h, named } from './dom';
import type { IHosts } from './entries';
import { keepKeys } from './keys';
import { readSnapshot, type ISnapshot } from './snapshot';
import { spoken } from './spoken';
import { drawStop, type IMove, type IStop } from './stop';
import { Transcript, type IEvent, type IToolCall } from './transcript';
import { RunView } from './view';
import type { Trans } from './words';

/** What the kernel asks a person. */
export type Question =
  | { id: string; kind: 'approval'; calls: IToolCall[] }
  | { id: string; kind: 'question'; text: string }
  | IStop;

/** What a person says about it. */
export type Answer = { text: string } | IMove | { decisions: ({ id: string } & IChoice)[] };

export interface ILiveOptions {
  hosts: IHosts;
  trans: Trans;
  /** Stop the run. */
  stop: () => void;
  answer: (question: string, answer: Answer) => void;
}

/** Milliseconds between two looks at what has changed by itself. */
const TICK = 200;
/** Letters that came together are laid out over the time between two messages, at most so long. */
const LONGEST_LAYING = 800;
const CALM = () => window.matchMedia('(prefers-reduced-motion: reduce)').matches || document.hidden;

export class LiveRun {
  constructor(private _options: ILiveOptions) {
    const { hosts, trans, stop } = _options;
    this._view = new RunView(hosts, trans);
    const { body, tools, asked } = this._view;
    this._stop = button(trans.__('Stop'), 'lk-Stop', stop);
    this._stop.title = trans.__('Stop this run; what was said so far is kept');
    keepKeys(this._stop);
    tools.append(this._stop);
    named(body, 'log', trans.__('The run so far'));
    body.setAttribute('aria-live', 'off'); // word by word it would be a flood: `spoken` says how it stands
    body.tabIndex = 0;
    this._follow = followEnd(body);
    this._asked = asked;
    this._said.setAttribute('role', 'status');
    this._view.node.classList.add('lk-mod-live');
    this._view.bound();
    this._view.node.append(this._said);
    this._timer = setInterval(() => this._view.tick(), TICK);
  }

  get node(): HTMLElement {
    return this._view.node;
  }

  /** Take events in. */
  handle(events: readonly IEvent[]): void {
    const now = performance.now();
    this._laying = Math.min(now - this._last, LONGEST_LAYING);
    this._last = now;
    events.forEach(event => this._transcript.handle(event));
    this._snapshot = readSnapshot(this._transcript.snapshot()) as ISnapshot;
    this._draw();
  }

  /** Show what the person is asked, or nothing. */
  ask(question: Question | null): void {
    if (question?.id === this._question) {
      return;
    }
    this._question = question?.id ?? null;
    if (this._asked.contains(document.activeElement)) {
      this._view.body.focus(); // what had the focus goes
    }
    this._asked.replaceChildren(...(question ? [this._drawQuestion(question)] : []));
    this._draw();
    this._asked.scrollIntoView?.({ block: 'nearest' });
  }

  dispose(): void {
    clearInterval(this._timer);
    cancelAnimationFrame(this._frame);
    this._view.dispose();
  }

  private _drawQuestion(question: Question): HTMLElement {
    const { answer, trans } = this._options;
    if (question.kind === 'stop') {
      return drawStop(question, trans, move => answer(question.id, move));
    }
    if (question.kind === 'question') {
      return drawQuestion(question.text, trans, text => answer(question.id, { text }));
    }
    const decisions: ({ id: string } & IChoice)[] = [];
    const decide = (call: IToolCall, choice: IChoice) => {
      decisions.push({ id: call.id, ...choice });
      if (decisions.length === question.calls.length) {
        answer(question.id, { decisions });
      }
    };
    return drawApproval(question.calls, trans, decide, this.node);
  }

  /** Draw what is known, the newest letters of an answer little by little. */
  private _draw(): void {
    cancelAnimationFrame(this._frame);
    const snapshot = this._snapshot;
    if (!snapshot) {
      return;
    }
    const last = snapshot.items.at(-1);
    const text = last?.kind === 'answer' && snapshot.state === 'running' ? last.text : '';
    const left = this._laying - (performance.now() - this._last);
    const shown = this._shown.length && text.startsWith(this._shown) ? this._shown.length : 0;
    if (text && left > 17 && !CALM()) {
      const step = Math.max(Math.ceil(((text.length - shown) * 17) / left), 1);
      this._shown = text.slice(0, shown + step);
    } else {
      this._shown = text;
    }
    const items = text ? [...snapshot.items.slice(0, -1), { ...last, text: this._shown }] : snapshot.items;
    this._view.update({ ...snapshot, items: items as ISnapshot['items'] });
    this._stop.hidden = !['running', 'waiting'].includes(snapshot.state);
    this._said.textContent = spoken(snapshot, this._options.trans);
    this._follow();
    if (this._shown.length < text.length) {
      this._frame = requestAnimationFrame(() => this._draw());
    }
  }

  private _transcript = new Transcript();
  private _view: RunView;
  private _stop: HTMLButtonElement;
  private _asked: HTMLElement;
  private _said = h('div', 'lk-spoken');
  private _follow: () => void;
  private _timer: ReturnType<typeof setInterval>;
  private _snapshot: ISnapshot | null = null;
  private _question: string | null = null;
  private _frame = 0;
  private _last = performance.now();
  private _laying = 0;
  private _shown = '';
}

/** Keep a scrolling box at its end unless the reader has scrolled up. */
function followEnd(box: HTMLElement): () => void {
  let atEnd = true;
  let top = 0;
  let height = 0;
  const look = () => {
    // A box that shrank moves up by itself; that is nobody's wish.
    if (box.scrollTop < top - 1 && box.scrollHeight >= height) {
      atEnd = false;
    } else if (box.scrollHeight - box.scrollTop - box.clientHeight < 4) {
      atEnd = true;
    }
    top = box.scrollTop;
    height = box.scrollHeight;
  };
  box.addEventListener('scroll', look);
  return () => {
    look();
    if (atEnd) {
      box.scrollTop = box.scrollHeight;
    }
    top = box.scrollTop;
  };
}
