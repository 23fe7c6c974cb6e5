// Marks the numbers of an answer that refer to what its turn found; the rule is that of the saved HTML.

import { cleanText, oneLine } from './clean';
import { h } from './dom';
import { isRecord } from './snapshot';

/** `[1]`, `[1][2]` and `[1, 2]`, not `a[1]`, `[^1]` or `[text][1]`. */
export const CITE = /(?<![A-Za-z0-9_\]!^])(?:\[\d{1,3}(?:, ?\d{1,3}){0,9}\]){1,9}(?![A-Za-z0-9_(:[])/g;

interface ICite {
  n: number;
  text: string;
  at: string;
  origin: string;
}

/** What the answers of a transcript may cite, by its number. */
export class Cites {
  /** Take what may be cited from now on; what has no number is passed over. */
  add(found: unknown): void {
    for (const one of Array.isArray(found) ? found.filter(isRecord) : []) {
      const { n, at, timestamp, origin, content } = one;
      if (typeof n === 'number') {
        this._cites.set(n, {
          n,
          text: cleanText(one.text ?? content ?? '', 300),
          at: oneLine(at ?? timestamp ?? '', 40),
          origin: oneLine(origin ?? '', 300)
        });
      }
    }
  }

  /** What a text cites, in the order of its numbers. What is code or a link is told when it is drawn. */
  of(said: string): ICite[] {
    const numbers = (said.match(CITE) ?? []).flatMap(one => one.match(/\d+/g) ?? []).map(Number);
    const cites = [...this._cites.values()].filter(({ n }) => numbers.includes(n));
    return cites.sort((one, other) => one.n - other.n);
  }

  private _cites = new Map<number, ICite>();
}

/** The marks that were made, and their numbers. */
const MARKS = new WeakMap<Element, string>();

/** Return the numbers that are marked in *host*. */
export function cited(host: HTMLElement): Set<string> {
  return new Set(Array.from(host.querySelectorAll('sup'), mark => MARKS.get(mark) ?? ''));
}

/** Give the numbers in drawn Markdown that *cites* has, but for code, links and formulas, what it says as title. */
export function markCites(host: HTMLElement, cites: Record<string, string>): void {
  const walker = document.createTreeWalker(host, NodeFilter.SHOW_TEXT);
  const found: Text[] = [];
  while (walker.nextNode()) {
    found.push(walker.currentNode as Text);
  }
  for (const node of found) {
    const made: (HTMLElement | string)[] = [];
    let done = 0;
    const inert = node.parentElement?.closest('a,code,pre,sup,math');
    for (const group of inert ? [] : node.data.matchAll(CITE)) {
      for (const one of group[0].matchAll(/\[\d+\]|\d+/g)) {
        const number = one[0].replace(/\D/g, '');
        const title = cites[number];
        if (title) {
          const mark = h('sup', '', one[0]);
          mark.title = title;
          mark.tabIndex = 0;
          MARKS.set(mark, number);
          const at = group.index + one.index;
          made.push(node.data.slice(done, at), mark);
          done = at + one[0].length;
        }
      }
    }
    if (done) {
      node.replaceWith(...made, node.data.slice(done));
    }
  }
}
