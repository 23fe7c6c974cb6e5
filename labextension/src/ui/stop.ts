// Where a run has stopped: what comes next in it, and what a person makes of that.

import { button, field, group } from './ask';
import { partWord } from './chartwords';
import { h } from './dom';
import { grouped, oneLine, type Trans } from './words';

export interface IStop {
  id: string;
  kind: 'stop';
  point: 'request' | 'reply' | 'call' | 'result';
  title: string;
  step: number;
  /** The breakpoint that holds; empty while the person steps. */
  why: string;
  /** What was wrong with the last move, and what came of it. */
  problem: string;
  note: string;
  parts: { name: string; tokens: number; text: string }[];
  /** What may be changed. */
  texts: { key: string; label: string; text: string }[];
}

export interface IMove {
  action: 'step' | 'next' | 'continue' | 'stop' | 'fork';
  changes: Record<string, string>;
  name: string;
}

const MOST_ROWS = 14;

/** Show a stop; `go` is called once. */
export function drawStop(stop: IStop, trans: Trans, go: (move: IMove) => void): HTMLElement {
  const node = group(trans.__('Debugger'));
  const fields: [string, string, HTMLTextAreaElement][] = [];
  const move = (action: IMove['action']) => {
    const changed = fields.filter(([, before, { value }]) => value !== before);
    node.querySelectorAll<HTMLButtonElement>('button, textarea').forEach(one => (one.disabled = true));
    const changes = Object.fromEntries(changed.map(([key, , { value }]) => [key, value]));
    go({ action, changes, name: name.value });
  };
  const name = field(trans.__('Name of the fork'));
  name.placeholder = name.getAttribute('aria-label') as string;
  const title = h('div', 'lk-Ask-title', h('b', '', trans.__('Stopped %1', stop.title)));
  title.append(h('span', 'lk-muted lk-small', ` · ${trans.__('step %1', stop.step)}`));
  if (stop.why) {
    title.append(' ', h('span', 'lk-Chip', stop.why));
  }
  const wrong = h('div', 'lk-Wrong', stop.problem);
  wrong.setAttribute('role', 'alert');
  // Of a request only the newest message: there may be hundreds.
  const open = (at: number) => stop.point !== 'request' || at === stop.texts.length - 1;
  node.append(
    title,
    wrong,
    stop.note && h('div', 'lk-small', stop.note),
    ...stop.parts.map(({ name, tokens, text }) =>
      part(`${partWord(name, trans)} · ${trans.__('%1 tokens', grouped(tokens))}`, '', h('pre', 'lk-Text', text))
    ),
    ...stop.texts.map(({ key, label: said, text }, at) => {
      const label = changeable(said, trans);
      const given = field(label, text, Math.min(text.split('\n').length, MOST_ROWS));
      given.classList.add('lk-mod-code');
      given.spellcheck = false;
      given.addEventListener('keydown', event => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          move('step');
        }
      });
      // What the field makes of the text (its line ends) is no change.
      fields.push([key, given.value, given]);
      return part(label, open(at) ? '' : oneLine(text, 90), given, open(at));
    }),
    h(
      'div',
      'lk-Buttons',
      button(trans.__('Step'), 'lk-mod-good', () => move('step')),
      button(trans.__('Next model call'), '', () => move('next')),
      button(trans.__('Continue'), '', () => move('continue')),
      button(trans.__('Stop the run'), 'lk-mod-bad', () => move('stop')),
      button(trans.__('Fork'), '', () => move('fork')),
      name
    )
  );
  return node;
}

/** What a person may change there; what the kernel has no word of its own for stays as it is. */
function changeable(label: string, trans: Trans): string {
  switch (label) {
    case 'what it says':
      return trans.__('what it says');
    case 'the tools it calls, as JSON':
      return trans.__('the tools it calls, as JSON');
    case 'its arguments, as JSON':
      return trans.__('its arguments, as JSON');
    case 'a result, instead of running it':
      return trans.__('a result, instead of running it');
    case 'an error, instead of running it':
      return trans.__('an error, instead of running it');
    case 'its result':
      return trans.__('its result');
    case 'its error':
      return trans.__('its error');
    default:
      return label;
  }
}

function part(name: string, begins: string, inside: HTMLElement, open = false): HTMLElement {
  const summary = h('summary', '', name, begins && h('span', 'lk-muted', ` ${begins}`));
  const made = h('details', 'lk-small', summary, inside);
  made.open = open;
  return made;
}
