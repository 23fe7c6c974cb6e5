import { RenderMimeRegistry, standardRendererFactories } from '@jupyterlab/rendermime';
import { nullTranslator } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { RunRenderer } from '../src/renderer';
import { RUN_MIME_TYPE } from '../src/ui/snapshot';
import { hostileStrings } from './hostile';
import { ENDED, run } from './snapshots';

const trans = nullTranslator.load('letta-kernel');

const ELEMENTS = new Set(
  (
    'article header footer div span p b i u s em strong del code pre kbd samp var br hr blockquote ul ol li ' +
    'dl dt dd h1 h2 h3 h4 h5 h6 sub sup small mark figure figcaption caption table thead tbody tfoot tr th ' +
    'td details summary a img ' +
    'math semantics mrow mi mn mo ms mtext mspace msup msub msubsup mfrac msqrt mroot mover munder ' +
    'munderover mtable mtr mtd mstyle mpadded mphantom menclose'
  ).split(' ')
);

const ATTRIBUTES: Record<string, RegExp> = {
  class: /^(?:(?:lk|lm|jp)[-_\w]*\s*)+$/,
  dir: /^(?:auto|ltr)$/,
  hidden: /^$/,
  open: /^$/,
  scope: /^row$/,
  alt: /^/,
  style: /^(?:text-align: (?:left|right|center);)?$/,
  href: /^(?:https?:\/\/|mailto:)/i,
  target: /^_blank$/,
  rel: /^noopener noreferrer$/,
  src: /^data:image\/(?:png|jpeg|gif|webp|svg\+xml)[;,]/,
  start: /^-?\d+$/,
  colspan: /^\d+$/,
  rowspan: /^\d+$/,
  width: /^\d+$/,
  height: /^\d+$/,
  'aria-label': /^Run of /,
  'aria-busy': /^(?:true|false)$/,
  'aria-hidden': /^true$/,
  'data-part': /^[a-z]+$/,
  'data-starts-open': /^(?:true|false)$/,
  'data-language': /^\S{1,40}$/,
  'data-tex': /^/
};
for (const name of 'display mathvariant stretchy fence form separator accent lspace rspace minsize maxsize'.split(' ')) {
  ATTRIBUTES[name] = /^[\w. %+-]{1,40}$/;
}

/**
 * What is in a drawn run and not on the lists above; our own are the line to search it with, which comes first,
 * and the buttons of code.
 */
function unexpected(root: Element): string[] {
  const search = root.querySelector('.lk-Tools');
  expect(search?.textContent).toBe('↑↓✕⌕↕⤢');
  const tools = Array.from(root.querySelectorAll('.lk-Code > pre + .lk-Code-tools'));
  tools.forEach(one => expect(one.textContent).toBe('Copy'));
  const own = [search, ...tools];
  const drawn = Array.from(root.querySelectorAll('*')).filter(
    one => !own.some(node => node?.contains(one))
  );
  return drawn.flatMap(element => [
    ...(ELEMENTS.has(element.localName) ? [] : [`<${element.localName}>`]),
    ...Array.from(element.attributes)
      .filter(({ name, value }) => !ATTRIBUTES[name]?.test(value))
      .map(({ name, value }) => `${element.localName} ${name}=${value.slice(0, 100)}`)
  ]);
}

/** A run that says one string wherever a run can say something. */
function saying(text: string, display: Record<string, string>): Record<string, any> {
  const called = { ...ENDED.items[2], name: text, result: text, output: text, progress: text };
  return run({
    agent: text,
    model: text,
    label: text,
    prompt: text,
    items: [
      { kind: 'retrieved', passages: [{ text }] },
      { kind: 'pictures', pictures: [{ alt: text, src: text }, { alt: text, src: `data:image/png;base64,${text}` }] },
      { kind: 'beside', parts: [{ kind: text, name: text, note: text, text }] },
      { kind: 'reasoning', text },
      { ...called, arguments: { [text]: text }, display },
      { ...called, state: 'error', error: text, traceback: text },
      { ...called, state: 'waiting', arguments: text },
      { kind: 'memory', label: text, before: text, after: `x\n${text}\ny`, version: 2 },
      { kind: 'notice', level: 'warning', text },
      { kind: 'answer', text }
    ],
    footer: { stop_reason: text, error: text }
  });
}

let renderer: RunRenderer;

beforeEach(() => {
  const rendermime = new RenderMimeRegistry({ initialFactories: standardRendererFactories });
  renderer = new RunRenderer({ rendermime, trans });
  Widget.attach(renderer, document.body);
});

afterEach(() => renderer.dispose());

async function draw(data: unknown): Promise<void> {
  const model = { data: { [RUN_MIME_TYPE]: data }, metadata: {}, trusted: true, setData: () => {} };
  await renderer.renderModel(model as any);
}

describe('hostile text', () => {
  it.each(hostileStrings())('%s makes nothing that is not listed', async (_name, text) => {
    const short = text.slice(0, 5_000);
    await draw(saying(short, {}));
    expect(unexpected(renderer.node)).toEqual([]);
    const call = ENDED.items[2];
    const items = ['text/html', 'text/markdown', 'image/svg+xml', 'image/png', 'text/plain'].map(
      mimeType => ({ ...call, display: { [mimeType]: short } })
    );
    await draw(run({ items: [...items, { kind: 'answer', text }] }));
    expect(unexpected(renderer.node)).toEqual([]);
  });

  it.each([
    '<p style="background:url(https://evil.example/x)">',
    '<img src=x>',
    '[x](https://a.example/$" style="background:url(https://evil.example/x)"$)',
    '![$" onerror="alert(1)$](https://a.example/$"src="//evil.example$)',
    '```mermaid\nflowchart\n  A@{ img: "https://evil.example/x" }\n```',
    '| a |\n|---|\n| <img src=x> $" onerror=alert(1) "$ |'
  ])('%j stays text', async text => {
    await draw(run({ items: [{ kind: 'answer', text }] }));
    expect(unexpected(renderer.node)).toEqual([]);
    expect(renderer.node.querySelector('img')).toBeNull();
  });
});
