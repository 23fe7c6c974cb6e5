import { drawDisplay } from '../src/display';
import { drawMarkdown, highlightCode } from '../src/markdown';

function drawn(text: string): HTMLElement {
  const host = document.createElement('div');
  drawMarkdown(host, text);
  return host.firstElementChild as HTMLElement;
}

const LINK = 'target="_blank" rel="noopener noreferrer"';

describe('Markdown', () => {
  it.each([
    ['a **b** *c* ~~d~~', '<p dir="auto">a <strong>b</strong> <em>c</em> <del>d</del></p>'],
    ['# Title', '<h1 dir="auto">Title</h1>'],
    ['3. a\n4. b', '<ol start="3"><li dir="auto"><span>a</span></li><li dir="auto"><span>b</span></li></ol>'],
    ['- [x] done', '<ul><li dir="auto">☑ <span>done</span></li></ul>'],
    ['> said', '<blockquote><p dir="auto">said</p></blockquote>'],
    ['a  \nb', '<p dir="auto">a<br>b</p>'],
    ['1 < 2 &lt; 3 &amp; AT&T &#x41; \\<', '<p dir="auto">1 &lt; 2 &lt; 3 &amp; AT&amp;T A &lt;</p>'],
    ['<b>not bold</b>', '<p dir="auto">&lt;b&gt;not bold&lt;/b&gt;</p>'],
    ['<div>\n**bold**\n</div>', '<p dir="auto">&lt;div&gt;\n<strong>bold</strong></p><p dir="auto">&lt;/div&gt;</p>'],
    ['`a < b && &lt;`', '<p dir="auto"><code>a &lt; b &amp;&amp; &amp;lt;</code></p>'],
    ['```\na < b &lt;\n```', '<pre dir="ltr"><code>a &lt; b &amp;lt;</code></pre>']
  ])('draws %j', (text, html) => expect(drawn(text).innerHTML).toBe(html));

  it('draws a table', () => {
    const table = drawn('| a | b |\n|---|--:|\n| 1 | <i>2</i> |');
    expect(table.querySelectorAll('th')).toHaveLength(2);
    expect(table.querySelectorAll('td')[1].style.textAlign).toBe('right');
    expect(table.querySelectorAll('td')[1].textContent).toBe('<i>2</i>');
  });

  it.each([
    ['[a](https://a.test/?x=1&amp;y=2)', `<a href="https://a.test/?x=1&amp;y=2" ${LINK}>a</a>`],
    ['<https://a.test/x>', `<a href="https://a.test/x" ${LINK}>https://a.test/x</a>`],
    ['<lin@a.test>', `<a href="mailto:lin@a.test" ${LINK}>lin@a.test</a>`],
    ['![a map](https://a.test/m.png)', `<a href="https://a.test/m.png" ${LINK}>[a map]</a>`],
    ['![](x.png)', '<span>[picture]</span>'],
    ['[a](javascript:alert)', '<span>a</span>'],
    ['[a](java&#115;cript&colon;alert)', '<span>a</span>'],
    ['[a](../api/contents)', '<span>a</span>'],
    ['[a](data:text/html;base64,AAAA)', '<span>a</span>']
  ])('links %j', (text, html) => expect(drawn(text).firstElementChild?.innerHTML).toBe(html));

  it.each(['$5 or $10', '$5-$10', 'US$ 3 and $ 4', '$$', '\\$x$', '`$x$`'])('%j is no formula', text =>
    expect(drawn(text).querySelector('.mathjax_process')).toBeNull()
  );

  it.each([
    ['$x < y$', '\\(x < y\\)'],
    ['so $$x_1*y*$$', '\\[x_1*y*\\]'],
    ['\\(a\\)', '\\(a\\)'],
    ['\\[a_1\nb_2\\]', '\\[a_1\nb_2\\]'],
    ['it costs $5, and $x$', '\\(x\\)']
  ])('%j has a formula', (text, tex) => {
    const formulas = drawn(text).querySelectorAll('.mathjax_process');
    expect(Array.from(formulas, formula => formula.textContent)).toEqual([tex]);
  });

  it.each(['$\\href{javascript:alert(1)}{x}$', '$\\require{html}$', '$\\rule{9em}{9em}$'])(
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
    return drawDisplay(host, bundle, drawMarkdown) ? host.innerHTML : null;
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

  it('shows pictures as pictures only', () => {
    expect(shown({ 'image/png': 'AAAA\n', 'text/plain': '<Figure>' })).toContain(
      'src="data:image/png;base64,AAAA'
    );
    expect(shown({ 'image/svg+xml': '<svg/>' })).toContain('src="data:image/svg+xml,%3Csvg%2F%3E"');
    expect(shown({ 'image/png': '"><script>' })).toBeNull();
    expect(shown({ 'application/javascript': 'alert(1)' })).toBeNull();
  });
});
