// What the kernel tells in a page of its own: a point in time, an explanation, a difference.

import { h } from './dom';
import type { IHosts } from './entries';
import type { Trans } from './words';

/** Ask the kernel; rejects with an error whose message is one line. */
export type Ask = <T>(method: string, params: object) => Promise<T>;

/** A box in which the answer will stand, or why there is none. */
export function told(ask: Ask, hosts: IHosts, trans: Trans, method: string, params: object): HTMLElement {
  const box = h('div', 'lk-Told', h('span', 'lk-muted', trans.__('Reading…')));
  box.setAttribute('role', 'region');
  box.setAttribute('aria-label', trans.__('What is told of it'));
  box.setAttribute('aria-live', 'polite');
  box.tabIndex = 0;
  ask<{ html: string }>(method, params).then(
    ({ html }) => {
      box.replaceChildren();
      hosts.bundle(box, { 'text/html': html });
    },
    (error: unknown) =>
      box.replaceChildren(h('span', 'lk-Wrong', String(error instanceof Error ? error.message : error)))
  );
  return box;
}
