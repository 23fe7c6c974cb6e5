import { withFigures } from '../src/ui/figures';
import { readSnapshot } from '../src/ui/snapshot';

const HTML = [
  '<div><details><figure><table><tr><td>1</td></tr></table><figure>inner</figure></figure></details>\n',
  '<figure><img alt="a plot" src="data:image/png;base64,AAAA"></figure>',
  '<figure><img alt="a drawing" src="data:image/svg+xml;base64,PHN2Zy8+"></figure></div>'
];

function displays(items: unknown[], html: unknown): unknown[] {
  const calls = items.map(display => ({ kind: 'tool_call', name: 'show', display }));
  const snapshot = readSnapshot(withFigures({ version: 1, items: calls }, html));
  return snapshot!.items.map(item => (item.kind === 'tool_call' ? item.display : undefined));
}

describe('the displays of a saved run', () => {
  it('come from its HTML, each at its call', () =>
    expect(displays([0, { 'text/plain': 'x' }, 1, 2], HTML)).toEqual([
      { 'text/html': '<table><tbody><tr><td>1</td></tr></tbody></table><figure>inner</figure>' },
      { 'text/plain': 'x' },
      { 'image/png': 'AAAA', 'text/plain': 'a plot' },
      { 'image/svg+xml': '<svg/>', 'text/plain': 'a drawing' }
    ]));

  it.each([[HTML.slice(0, 1)], [''], [undefined], [[7]], ['<figure></figure>']])(
    'are left out where %j has none',
    html => expect(displays([1], html)).toEqual([null])
  );

  it.each([null, 7, [], { items: 7 }, { items: [7, { display: 0 }] }])('%j is no reason to fail', data =>
    expect(() => withFigures(data, HTML)).not.toThrow()
  );

  it('keeps a long text as its lines', () => {
    const snapshot = readSnapshot({ version: 1, items: [{ kind: 'answer', text: ['a\n', 'b', 7] }] });
    expect(snapshot!.items).toEqual([{ kind: 'answer', text: 'a\nb', interrupted: false }]);
  });
});
