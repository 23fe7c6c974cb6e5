// What the kernel tells in a page of its own: a point in time, an explanation, a difference.

import { drawHtml } from './display';
import { h, named } from './dom';
import { messageOf, type Trans } from './words';

/** Ask the kernel; rejects with an error whose message is one line. */
export type Ask = <T>(method: string, params: object) => Promise<T>;

/** A box in which the answer will stand, or why there is none. A step that is named in it leads to what is told of that. */
export function told(ask: Ask, trans: Trans, method: string, params: object): HTMLElement {
  const box = named(h('div', 'lk-Told'), 'region', trans.__('What is told of it'));
  box.tabIndex = 0;
  let turn = 0;
  const tell = async (method: string, params: object) => {
    const now = ++turn;
    let shown: HTMLElement;
    box.replaceChildren(h('span', 'lk-muted', trans.__('Reading…')));
    try {
      shown = drawHtml((await ask<{ html: string }>(method, params)).html, true);
    } catch (error) {
      shown = h('span', 'lk-Wrong', messageOf(error));
    }
    if (now === turn) {
      box.replaceChildren(shown);
    }
  };
  box.addEventListener('click', event => {
    const link = event.target instanceof Element ? event.target.closest('a[href^="#step-"]') : null;
    if (link) {
      event.preventDefault();
      void tell('explain', { at: link.getAttribute('href')?.slice(1) });
    }
  });
  void tell(method, params);
  return box;
}
