// Draws Markdown. It is parsed into tokens and each is built as a node of a kind listed here, so raw
// HTML in it is text like any other and nothing is fetched.

import { Lexer, Tokenizer, type Token, type Tokens, type TokensList } from 'marked';

import { h, type Child } from './dom';
import { drawLink } from './links';
import { drawFormula, mathToken, mathStart } from './mathematics';

/** Characters drawn as Markdown; what is longer is shown as it is. */
const LONGEST = 60_000;
const LONGEST_HIGHLIGHTED = 20_000;
const DEEPEST = 20;
/** Runs of emphasis marks in one paragraph, and signs that may begin something; the parser's time grows with their square. */
const MOST_MARKS = 500;
const MOST_SIGNS = 2_000;
const SIGN = /[*_~!\[`\\<@]| {2}\n|https?:\/\/|ftp:\/\/|www\./g;
/** A line under a heading or the head of a table: each may have all that follows read. */
const UNDERLINE = /^[ |:]*-[-|: ]*$/gm;
/** Lists and quotes within each other that are parsed. */
const DEEPEST_PARSED = 100;

const HEADINGS = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'] as const;

/** Without these two there is no raw HTML in the language. */
class NoHtml extends Tokenizer {
  override html(): undefined {}

  override tag(): undefined {}
}

// What the parser's front part would make of this; the rest of it stays out of the extension (only-lexer.js).
const OPTIONS = {
  gfm: true,
  tokenizer: new NoHtml(),
  extensions: { renderers: {}, childTokens: {}, inline: [mathToken], startInline: [mathStart] }
};

/** What of an element's text is drawn for good, and what is drawn of the rest. */
interface IDrawn {
  settled: string;
  open: Node[];
}

const drawn = new WeakMap<HTMLElement, IDrawn>();

/** Puts a frame around a block of code that is drawn in full. */
export type Frame = (block: HTMLElement) => HTMLElement;

/**
 * Draw Markdown into an element in place of what is in it; code is yet to be coloured.
 *
 * A text that has grown is drawn from its last block on, so that one may be watched as it comes.
 */
export function drawMarkdown(
  host: HTMLElement,
  source: string,
  frame: Frame | null = null,
  grows = false
): void {
  const text = source.slice(0, LONGEST);
  let known = drawn.get(host);
  if (!known || !text.startsWith(known.settled)) {
    known = { settled: '', open: [] };
    drawn.set(host, known);
    host.classList.add('lk-Md');
    host.replaceChildren();
  }
  known.open.forEach(node => node.parentNode?.removeChild(node));
  const blocks = parsed(text.slice(known.settled.length));
  const last = Math.max(blocks.map(({ node }) => !!node).lastIndexOf(true), 0);
  for (const { raw, node } of blocks.slice(0, last)) {
    known.settled += raw;
    host.append(...nodes(framed(node, frame)));
  }
  const rest = source.slice(LONGEST);
  const open = blocks.slice(last).map(({ node }) => (grows ? node : framed(node, frame)));
  known.open = [...open, rest && h('pre', '', rest)].flatMap(nodes);
  host.append(...known.open);
}

function framed(node: Child, frame: Frame | null): Child {
  if (!frame || !(node instanceof HTMLElement)) {
    return node;
  }
  if (node.localName === 'pre') {
    return frame(node);
  }
  node.querySelectorAll('pre').forEach(block => {
    const place = document.createComment('');
    block.replaceWith(place);
    place.replaceWith(frame(block));
  });
  return node;
}

interface IBlock {
  raw: string;
  node: Child;
}

function parsed(source: string): IBlock[] {
  try {
    return new BoundedLexer(OPTIONS).lex(source).map(token => ({
      raw: token.raw,
      node: drawToken(token as Tokens.Generic, 0)
    }));
  } catch {
    return [{ raw: source, node: source && h('pre', '', source) }]; // nested too deep for the parser
  }
}

/** Reads blocks as the parser does; a paragraph with too many signs stays as it is, so its time is bounded. */
class BoundedLexer extends Lexer {
  override lex(source: string): TokensList {
    if (count(source, UNDERLINE) > MOST_SIGNS) {
      throw new RangeError('too many lines that may begin a table');
    }
    this.blockTokens(source.replace(/\r\n|\r/g, '\n'), this.tokens);
    for (const { src, tokens } of this.inlineQueue) {
      if (hasManyMarks(src)) {
        tokens.push({ type: 'unread', raw: src });
      } else {
        this.inlineTokens(src, tokens);
      }
    }
    return this.tokens;
  }

  override blockTokens(source: string, tokens?: Token[], clipped?: boolean): Token[];
  override blockTokens(source: string, tokens?: TokensList, clipped?: boolean): TokensList;
  override blockTokens(source: string, tokens?: Token[], clipped?: boolean): Token[] {
    if (++this._depth > DEEPEST_PARSED) {
      throw new RangeError('nested too deep');
    }
    const found = super.blockTokens(source, tokens, clipped);
    this._depth--;
    return found;
  }

  private _depth = 0;
}

function hasManyMarks(text: string): boolean {
  return count(text, /[*_~]+/g) >= MOST_MARKS || count(text, SIGN) > MOST_SIGNS;
}

function count(text: string, what: RegExp): number {
  return text.match(what)?.length ?? 0;
}

function nodes(child: Child): Node[] {
  return child ? [child instanceof Node ? child : document.createTextNode(child)] : [];
}

/** Colour code written in a named language. It may be loaded for that from the page's own server. */
export type Highlight = (code: string, language: string, into: HTMLElement) => Promise<void>;

/** Where the JupyterLab extension leaves it for the widgets of its page. */
export const HIGHLIGHT = Symbol.for('letta-kernel.highlight');

/** Have the code in drawn Markdown coloured; while it grows, not that of its last block. */
export async function highlightCode(
  host: HTMLElement,
  highlight: Highlight,
  grows = false
): Promise<void> {
  const blocks = host.querySelectorAll<HTMLElement>(
    `${grows ? ':scope > :not(:last-child) ' : ''}code[data-language]`
  );
  await Promise.all(
    Array.from(blocks, async block => {
      const code = block.textContent ?? '';
      const language = block.dataset.language ?? '';
      delete block.dataset.language;
      const coloured = h('code', '');
      try {
        await highlight(code, language, coloured);
      } catch {
        return; // it stands there uncoloured
      }
      if (coloured.textContent === code) {
        block.replaceChildren(...coloured.childNodes);
      }
    })
  );
}

function drawTokens(tokens: Token[] | undefined, depth: number): Child[] {
  return (tokens ?? []).map(token =>
    depth > DEEPEST ? token.raw : drawToken(token as Tokens.Generic, depth + 1)
  );
}

function drawToken(token: Tokens.Generic, depth: number): Child {
  const inside = () => drawTokens(token.tokens, depth);
  switch (token.type) {
    case 'space':
    case 'def':
      return null;
    case 'paragraph':
      return ownDirection(h('p', '', ...inside()));
    case 'heading':
      return ownDirection(h(HEADINGS[token.depth - 1] ?? 'h6', '', ...inside()));
    case 'blockquote':
      return h('blockquote', '', ...inside());
    case 'list':
      return drawList(token as Tokens.List, depth);
    case 'table':
      return drawTable(token as Tokens.Table, depth);
    case 'code':
      return drawCode(token as Tokens.Code);
    case 'hr':
    case 'br':
      return h(token.type, '');
    case 'strong':
    case 'em':
    case 'del':
      return h(token.type, '', ...inside());
    case 'codespan':
      return h('code', '', token.text);
    case 'checkbox':
      return token.checked ? '☑ ' : '☐ ';
    case 'link':
      return drawLink(withCharacters(token.href), ...inside());
    case 'image':
      return drawLink(withCharacters(token.href), `[${withCharacters(token.text) || 'picture'}]`);
    case 'math':
      return drawFormula(token);
    case 'text':
      return token.tokens ? h('span', '', ...inside()) : withCharacters(token.text);
    case 'escape':
      return token.text;
    case 'unread':
      return h('pre', '', token.raw);
    default:
      return token.raw;
  }
}

function drawList(list: Tokens.List, depth: number): HTMLElement {
  const items = list.items.map(item =>
    ownDirection(h('li', '', ...drawTokens(item.tokens, depth)))
  );
  if (!list.ordered) {
    return h('ul', '', ...items);
  }
  const drawn = h('ol', '', ...items);
  drawn.start = Number(list.start) || 1;
  return drawn;
}

function drawTable(table: Tokens.Table, depth: number): HTMLElement {
  const row = (tag: 'th' | 'td', cells: Tokens.TableCell[]) =>
    h(
      'tr',
      '',
      ...cells.map(cell => {
        const drawn = h(tag, '', ...drawTokens(cell.tokens, depth));
        drawn.style.textAlign = cell.align ?? '';
        return drawn;
      })
    );
  const head = h('thead', '', row('th', table.header));
  return h('table', '', head, h('tbody', '', ...table.rows.map(cells => row('td', cells))));
}

function drawCode(token: Tokens.Code): HTMLElement {
  const code = h('code', '', token.text);
  const language = (token.lang ?? '').trim().split(/\s/)[0].slice(0, 40).toLowerCase();
  if (language && token.text.length <= LONGEST_HIGHLIGHTED) {
    code.dataset.language = language;
  }
  const block = h('pre', '', code);
  block.dir = 'ltr';
  return block;
}

function ownDirection<E extends HTMLElement>(element: E): E {
  element.dir = 'auto';
  return element;
}

const REFERENCE = /&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][\da-z]{1,31});/gi;

/** A text with the characters that its references (`&amp;`) stand for. */
function withCharacters(text: string): string {
  const references = [...new Set(text.match(REFERENCE))];
  if (!references.length) {
    return text;
  }
  // One document for all: making one takes longer than reading it.
  const parsed = new DOMParser().parseFromString(`<i>${references.join('</i><i>')}</i>`, 'text/html');
  const characters = Array.from(parsed.querySelectorAll('i'), one => one.textContent ?? '');
  const known = new Map(references.map((reference, at) => [reference, characters[at]]));
  return text.replace(REFERENCE, reference => known.get(reference) ?? reference);
}
