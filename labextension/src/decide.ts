// Buttons below a comparison in an output: which of its runs is kept, or none.

import { button } from './ui/ask';
import { h } from './ui/dom';
import type { Trans } from './ui/words';

/** Asks the kernel of the notebook. */
export type Ask = <T>(method: string, params: object) => Promise<T>;

/** Below more runs than this there are no buttons: there are words for it. */
const MOST = 60;

/** Return the buttons of a comparison; null where it is decided, or the file says something else. */
export function drawChoices(
  { id, choices }: Record<string, unknown>,
  ask: Ask,
  trans: Trans
): HTMLElement | null {
  const numbers = (Array.isArray(choices) ? choices : []).filter(Number.isInteger);
  if (typeof id !== 'string' || !numbers.length || numbers.length > MOST) {
    return null;
  }
  const node = h('div', 'lk-Buttons');
  const said = h('span', 'lk-muted lk-small');
  said.setAttribute('role', 'status');
  said.tabIndex = -1;
  node.setAttribute('role', 'group');
  node.setAttribute('aria-label', trans.__('Which run is kept'));
  const buttons: HTMLButtonElement[] = [];
  const add = (text: string, number: number | null) => {
    const decide = async () => {
      if (node.contains(document.activeElement)) {
        said.focus(); // a button that is disabled, or gone, gives the focus away
      }
      buttons.forEach(one => (one.disabled = true));
      try {
        said.textContent = (await ask<{ said: string }>('compare.keep', { id, number })).said;
        buttons.forEach(one => one.remove());
      } catch (error) {
        said.textContent = error instanceof Error ? error.message : String(error);
        buttons.forEach(one => (one.disabled = false));
      }
    };
    buttons.push(button(text, 'lk-mod-small', () => void decide()));
  };
  numbers.forEach(number => add(trans.__('Keep %1', number), number));
  add(trans.__('Keep none'), null);
  node.append(...buttons, said);
  return node;
}
