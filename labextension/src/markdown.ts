// Draws Markdown. It is parsed into tokens and each is built as a node of a kind listed here, so raw
// HTML in it is text like any other and nothing is fetched.

import { Marked, type Token, type Tokens } from 'marked';

import { h, type Child } from './dom';
import { drawLink } from './links';
import { drawFormula, MATH_CLASSES, MATH_TOKENS, NO_MATH_CLASSES } from './mathematics';

/** Characters drawn as Markdown; what is longer is shown as it is. */
const LONGEST = 60_000;
const LONGEST_HIGHLIGHTED = 20_000;
const DEEPEST = 20;
/** Emphasis marks in one paragraph; the parser's time grows with their square. */
const MOST_MARKS = 500;

const HEADINGS = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'] as const;

const marked = new Marked({
  gfm: true,
  extensions: [MATH_TOKENS],
  // Without these two there is no raw HTML in the language.
  tokenizer: { html: () => undefined, tag: () => undefined }
});

/** Draw Markdown into an element in place of what is in it; code and mathematics are yet to be done. */
export function drawMarkdown(host: HTMLElement, source: string): void {
  const className = `jp-RenderedHTMLCommon jp-RenderedMarkdown ${NO_MATH_CLASSES}`;
  const rest = source.slice(LONGEST);
  host.replaceChildren(
    h('div', className, ...parsed(source.slice(0, LONGEST)), rest && h('pre', '', rest))
  );
}

function parsed(source: string): Child[] {
  if (source.split(/\n\s*\n/).some(part => part.split(/[*_~]+/).length > MOST_MARKS)) {
    return [h('pre', '', source)];
  }
  let tokens: Token[];
  try {
    tokens = marked.lexer(source);
  } catch {
    return [h('pre', '', source)]; // nested too deep for the parser
  }
  return drawTokens(tokens, 0);
}

/** Colour code written in a named language. It may be loaded for that from the page's own server. */
export type Highlight = (code: string, language: string, into: HTMLElement) => Promise<void>;

/** Have the code in drawn Markdown coloured. */
export async function highlightCode(drawn: HTMLElement, highlight: Highlight): Promise<void> {
  const blocks = drawn.querySelectorAll<HTMLElement>('code[data-language]');
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

/** Whether there is mathematics in drawn Markdown that is still to be typeset. */
export function hasFormulas(drawn: HTMLElement): boolean {
  return drawn.getElementsByClassName(MATH_CLASSES).length > 0;
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

/** A text with the characters that its references (`&amp;`) stand for. */
function withCharacters(text: string): string {
  return text.replace(/&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][\da-z]{1,31});/gi, reference => {
    const parsed = new DOMParser().parseFromString(reference, 'text/html');
    return parsed.body.textContent ?? reference;
  });
}
