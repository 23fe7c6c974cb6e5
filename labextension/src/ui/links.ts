// Links that an agent or a tool may make: to the web or to a mailbox, opened beside the notebook.

import { h, type Child } from './dom';
import { LINK } from './rules';

const LONGEST = 2000;

/** A link, or its text alone where it leads anywhere else. Nothing is fetched until it is clicked. */
export function drawLink(address: string, ...inside: Child[]): HTMLElement {
  if (address.length > LONGEST || !LINK.test(address)) {
    return h('span', '', ...inside);
  }
  const link = h('a', '', ...inside);
  link.href = address;
  link.target = '_blank';
  link.rel = 'noopener noreferrer';
  return link;
}
