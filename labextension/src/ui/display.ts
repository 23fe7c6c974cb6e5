// Draws what a tool gave to be looked at: a picture, a table, Markdown or text. It comes from a file
// that anyone may have written, so it is rebuilt from what is listed here and fetches nothing.

import { h, type Child } from './dom';
import { drawLink } from './links';
import {
  CLOSED_BY_THEMSELVES,
  DROPPED_ELEMENTS,
  FORMATTING,
  KEPT_ELEMENTS,
  LONGEST_TAG,
  MOST_FORMATTING,
  MOST_OPEN
} from './rules';
import type { Bundle } from './snapshot';
import type { Trans } from './words';

const PICTURES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];
const SVG = 'image/svg+xml';
const BASE64 = /^[\w+/=\s]+$/;
const DATA_PICTURE = /^data:image\/(?:png|jpeg|gif|webp);base64,[\w+/=\s]+$/;

/** What the kernel's own pages may look like beside that: bars, marks and columns, all where they stand. */
const LOOKS =
  'width height background border-left border-top padding-left padding-top margin-bottom display flex flex-wrap gap min-width'.split(
    ' '
  );
const PLAIN_LOOK = /^(?!.*url)[\w#%.,() -]{1,60}$/i;
const STEP = /^#step-[\w-]+$/;

const LONGEST_HTML = 500_000;
const MOST_TAGS = 20_000;
const QUOTED = /"[^"]*"|'[^']*'/g;
const TAG = /<(\/?)([a-z][^\s/>]*)[^>]*>?/gi;
const DEEPEST = 40;
/** Draw a bundle into an element; false if there is nothing in it to be shown. */
export function drawDisplay(
  host: HTMLElement,
  bundle: Bundle,
  markdown: (host: HTMLElement, text: string) => void,
  trans: Trans
): boolean {
  const given = (mimeType: string) => joined(bundle[mimeType]);
  const picture = PICTURES.find(mimeType => BASE64.test(given(mimeType)));
  if (picture) {
    const address = `data:${picture};base64,${given(picture)}`;
    host.append(drawPicture(address, given('text/plain') || trans.__('figure')));
  } else if (given(SVG)) {
    // In an <img> it can neither run nor fetch anything.
    const source = given(SVG).replace(/[\ud800-\udfff]/gu, '\ufffd');
    const address = `data:${SVG},${encodeURIComponent(source)}`;
    host.append(drawPicture(address, given('text/plain') || trans.__('figure')));
  } else if (given('text/html')) {
    host.append(drawHtml(given('text/html')));
  } else if (given('text/markdown')) {
    markdown(host, given('text/markdown'));
  } else if (given('text/plain')) {
    host.append(h('pre', 'lk-Text', given('text/plain')));
  } else {
    return false;
  }
  return true;
}

function drawPicture(address: string, name: string): HTMLElement {
  const picture = h('img', '');
  picture.alt = name.slice(0, 80);
  picture.src = address;
  return picture;
}

/** Markup without the tags that a parser takes long for: too many, too deep or too long, as in the saved HTML. */
function modest(html: string): string {
  const opened: string[] = [];
  let left = MOST_TAGS;
  return html.replace(TAG, (whole: string, end: string, name: string) => {
    const tag = name.toLowerCase();
    const formats = FORMATTING.has(tag);
    if (end) {
      const place = opened.lastIndexOf(tag);
      if (place >= 0) {
        // A formatting element ends by itself, any other one with all that is open in it.
        opened.splice(place, formats ? 1 : Infinity);
      }
      return whole;
    }
    if (--left < 0) {
      return '';
    }
    if (!CLOSED_BY_THEMSELVES.has(tag)) {
      const alike = formats ? opened.filter(one => FORMATTING.has(one)) : opened;
      if (alike.length >= (formats ? MOST_FORMATTING : MOST_OPEN)) {
        return '';
      }
      opened.push(tag);
    }
    // Only a picture's address is long.
    const bare = tag === 'img' ? whole.replace(QUOTED, '') : whole;
    return bare.length < LONGEST_TAG ? whole : `<${tag}>`;
  });
}

/** Draw markup as what is listed here; `own` is a page of the kernel's, with its looks and ways to steps. */
export function drawHtml(html: string, own = false): HTMLElement {
  const source = modest(html.slice(0, LONGEST_HTML));
  try {
    // A document made by the parser runs and loads nothing; from here on it is only read.
    const parsed = new DOMParser().parseFromString(source, 'text/html');
    return h('div', 'lk-Md lk-Rich', ...rebuiltChildren(parsed.body, 0, own));
  } catch {
    return h('pre', 'lk-Text', source); // nested too deep for the parser
  }
}

function rebuiltChildren(element: Element, depth: number, own: boolean): Child[] {
  return depth > DEEPEST
    ? []
    : Array.from(element.childNodes).flatMap(node => rebuilt(node, depth + 1, own));
}

function rebuilt(node: Node, depth: number, own: boolean): Child[] {
  if (node.nodeType === Node.TEXT_NODE) {
    return [node.nodeValue];
  }
  if (!(node instanceof Element) || DROPPED_ELEMENTS.has(node.localName)) {
    return [];
  }
  if (node.localName === 'img') {
    return [rebuiltPicture(node)];
  }
  const inside = rebuiltChildren(node, depth, own);
  if (node.localName === 'a') {
    const to = node.getAttribute('href')?.trim() ?? '';
    if (!own || !STEP.test(to)) {
      return [drawLink(to, ...inside)];
    }
    const link = h('a', '', ...inside);
    link.href = to;
    return [link];
  }
  if (!KEPT_ELEMENTS.has(node.localName) && !(own && /^(ins|del)$/.test(node.localName))) {
    return inside;
  }
  const element = h(node.localName as keyof HTMLElementTagNameMap, '', ...inside);
  copyNumbers(node, element, ['colspan', 'rowspan', 'start']);
  const align = node instanceof HTMLTableCellElement ? node.style.textAlign : '';
  if (['left', 'right', 'center'].includes(align)) {
    element.style.textAlign = align;
  }
  if (own && node instanceof HTMLElement) {
    for (const name of LOOKS) {
      const value = node.style.getPropertyValue(name);
      if (PLAIN_LOOK.test(value)) {
        element.style.setProperty(name, value);
      }
    }
    element.title = node.title;
  }
  return [element];
}

function rebuiltPicture(node: Element): HTMLElement | null {
  const address = node.getAttribute('src') ?? '';
  if (!DATA_PICTURE.test(address)) {
    return null;
  }
  const picture = drawPicture(address, node.getAttribute('alt') ?? '');
  copyNumbers(node, picture, ['width', 'height']);
  return picture;
}

function copyNumbers(from: Element, to: Element, names: string[]): void {
  for (const name of names) {
    const value = from.getAttribute(name) ?? '';
    if (/^\d{1,4}$/.test(value)) {
      to.setAttribute(name, value);
    }
  }
}

/** A text as notebooks keep it: whole, or a list of its lines. */
function joined(data: unknown): string {
  const parts = Array.isArray(data) ? data : [data];
  return parts.filter(part => typeof part === 'string').join('');
}
