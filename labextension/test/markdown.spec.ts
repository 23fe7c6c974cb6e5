import { readFileSync } from 'fs';
import { join } from 'path';

import { drawDisplay } from '../src/ui/display';
import { drawMarkdown, highlightCode } from '../src/ui/markdown';
import { ENGLISH } from '../src/ui/words';

function drawn(text: string): HTMLElement {
  const host = document.createElement('div');
  drawMarkdown(host, text);
  return host;
}

const DIALECT: [string, string][] = JSON.parse(
  readFileSync(join(__dirname, '../../tests/data/markdown.json'), 'utf-8')
).cases;

/** The normal form that the dialect's cases are in. */
function normal(node: Node): string {
  if (!(node instanceof Element)) {
    return escaped(node.textContent ?? '');
  }
  if (node.localName === 'math') {
    return `<span class="math">${escaped(node.getAttribute('data-tex') ?? '')}</span>`;
  }
  const inside = Array.from(node.childNodes, normal).join('');
  if (node.localName === 'span' || node.localName === 'div') {
    return inside;
  }
  const kept = { href: node.getAttribute('href'), start: node.getAttribute('start') };
  const align = (node as HTMLElement).style.textAlign;
  const attributes = Object.entries({
    href: kept.href,
    start: kept.start === '1' ? null : kept.start,
    align: align === 'left' ? null : align
  })
    .filter(([, value]) => value)
    .map(([name, value]) => ` ${name}="${escaped(value ?? '')}"`);
  const open = `<${node.localName}${attributes.join('')}>`;
  return ['br', 'hr'].includes(node.localName) ? open : `${open}${inside}</${node.localName}>`;
}

function escaped(text: string): string {
  const characters: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
  return text.replace(/[&<>]/g, character => characters[character]);
}

const LINK = 'target="_blank" rel="noopener noreferrer"';

describe('Markdown', () => {
  it.each(DIALECT)('draws %j as the kernel does', (text, html) => {
    expect(Array.from(drawn(text).childNodes, normal).join('')).toBe(html);
  });

  it.each(['*', '_', '**', '*_', '~~'])('shows many %s as they are', mark => {
    const text = `a${mark.repeat(20_000)}z`;
    expect(drawn(text).querySelector('pre')?.textContent === text).toBe(true);
  });

  it.each(['1. ', '- ', '> ', '>', '* > '])('shows %j within each other as they are', begin => {
    const text = `${begin.repeat(10_000)}x`;
    expect(drawn(text).querySelector('pre')?.textContent === text).toBe(true);
  });

  it.each(['!', '`a', 'a[a](', 'a<', 'a@', 'a\\', '![', 'a  \n', 'www.a ', 'http://a '])(
    'reads a paragraph of many %j no further than it has time for',
    sign => {
      const text = `a${sign.repeat(5_000)}z`;
      expect(drawn(text).querySelector('p > pre')?.textContent === text).toBe(true);
      expect(drawn(`# Head\n\n${text}\n\n*last*`).querySelector('em')?.textContent).toBe('last');
    }
  );

  it('shows lines of many heads as they are', () => {
    const text = 'a\n-\n'.repeat(5_000);
    expect(drawn(text).querySelector('pre')?.textContent === text).toBe(true);
  });

  const RULES = ['-'.repeat(120), '*'.repeat(120), '+'.repeat(120), `+${'-'.repeat(120)}+`, '- '.repeat(120)];
  const LOGS = [...RULES, Array(30).fill('*'.repeat(80)).join('\n'), '> '.repeat(120), '!'.repeat(5_000)];

  it.each(LOGS)('draws an answer with a log that holds %j', log => {
    const box = drawn(`# Log\n\n\`\`\`\na\n\n${log}\n\`\`\`\n\n*last*`);
    expect(Array.from(box.children, one => one.localName)).toEqual(['h1', 'pre', 'p']);
    expect(box.querySelector('pre > code')?.textContent?.trim()).toBe(`a\n\n${log}`.trim());
  });

  it.each(RULES)('draws what stands around a line of %j', line => {
    const box = drawn(`first\n\n${line}\n\n| a |\n|---|\n| ${'-'.repeat(120)} |\n\n*last*`);
    expect(box.querySelector('em')?.textContent).toBe('last');
    expect(box.querySelector('td')).not.toBeNull();
    expect(box.querySelector('pre')).toBeNull();
  });

  it('draws what grows as it draws the whole', () => {
    const whole = DIALECT.map(([text]) => text).join('\n\n');
    const host = document.createElement('div');
    for (let end = 1; end < whole.length; end += 7) {
      drawMarkdown(host, whole.slice(0, end));
    }
    drawMarkdown(host, whole);
    const [grown, once] = [host, drawn(whole)].map(one => Array.from(one.children, normal));
    expect(grown).toEqual(once);
  });

  it('draws formulas as MathML', () => {
    const [inline, display] = drawn('$\\frac{x}{2}$ and $$x_1$$').querySelectorAll('math');
    expect(inline.querySelector('mfrac')?.textContent).toBe('x2');
    expect(inline.getAttribute('display')).toBeNull();
    expect(display.getAttribute('display')).toBe('block');
  });

  it.each(['$\\href{javascript:alert(1)}{x}$', '$\\require{html}$', '$\\rule{9em}{9em}$', '$\\frac{$', '$x^$'])(
    '%j is shown as code',
    text => expect(drawn(text).querySelector('code')?.textContent).toBe(text)
  );

  it('has code coloured as it stands there', async () => {
    const box = drawn('```HTML extra\n<b>\n```\n\n```\nplain\n```');
    const asked: string[][] = [];
    await highlightCode(box, async (code, language, into) => {
      asked.push([code, language]);
      const span = document.createElement('span');
      span.textContent = code;
      into.append(span);
    });
    expect(asked).toEqual([['<b>', 'html']]);
    expect(box.querySelector('code')?.innerHTML).toBe('<span>&lt;b&gt;</span>');
  });

  it('shows what is very long or nested very deep', () => {
    expect(drawn('a '.repeat(40_000)).textContent).toHaveLength(80_000);
    expect(drawn('> '.repeat(300) + 'deep').textContent).toContain('deep');
  });
});

describe("a tool's display", () => {
  function shown(bundle: Record<string, unknown>): string | null {
    const host = document.createElement('div');
    return drawDisplay(host, bundle, drawMarkdown, ENGLISH) ? host.innerHTML : null;
  }

  it('keeps a table and drops its looks and what it would fetch', () => {
    const html =
      '<style>td { background: url(//evil.test) }</style><table class="dataframe" style="color:red">' +
      '<tr><td colspan="2" onclick="x()">1</td></tr></table><img src="https://evil.test/x">' +
      '<a href="https://a.test/">a</a><marquee>kept</marquee>';
    expect(shown({ 'text/html': [html] })).toContain(
      '<table><tbody><tr><td colspan="2">1</td></tr></tbody></table>' +
        `<a href="https://a.test/" ${LINK}>a</a>kept`
    );
  });

  it('keeps markup within bounds that a parser would blow up', () => {
    const host = document.createElement('div');
    const open = Array.from({ length: 1000 }, (_, at) => `<b id="${at}">`).join('');
    drawDisplay(host, { 'text/html': open + '<p>tea'.repeat(300) }, () => {}, ENGLISH);
    expect(host.querySelectorAll('p').length).toBe(300);
    expect(host.querySelectorAll('b').length).toBeLessThanOrEqual(12 * 301);
  });

  it('shows pictures as pictures only', () => {
    expect(shown({ 'image/png': 'AAAA\n', 'text/plain': '<Figure>' })).toContain(
      'src="data:image/png;base64,AAAA'
    );
    expect(shown({ 'image/svg+xml': '<svg/>' })).toContain('src="data:image/svg+xml,%3Csvg%2F%3E"');
    expect(shown({ 'image/png': '"><script>' })).toBeNull();
    expect(shown({ 'application/javascript': 'alert(1)' })).toBeNull();
  });
});
