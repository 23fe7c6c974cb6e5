import { MimeModel, RenderMimeRegistry, standardRendererFactories } from '@jupyterlab/rendermime';
import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import type { Ask } from '../src/decide';
import { PANEL_MIME_TYPE, PanelRenderer } from '../src/savedpanel';
import { readKeys } from '../src/tabletools';

const VIEW = 'application/vnd.jupyter.widget-view+json';
const trans = nullTranslator.load('letta-kernel');
const NAMES = ['b2', 'B10', 'a', '', 'c'];
const TIMES = [3, 20, 1, null, 2];
const HTML =
  '<div class="letta-panel"><table><thead><tr><th>name</th><th>time</th></tr></thead><tbody>' +
  NAMES.map((name, n) => `<tr><td>${name}</td><td>${TIMES[n] ?? ''} s</td></tr>`).join('') +
  '</tbody></table><table><tbody><tr><td>x</td></tr><tr><td>y</td></tr></tbody></table></div>';

let renderer: PanelRenderer;

async function show(data: Record<string, any>, trusted = false, ask?: Ask): Promise<void> {
  const rendermime = new RenderMimeRegistry({ initialFactories: standardRendererFactories });
  const live = { changed: new Signal<object, void>({}), has: () => false };
  renderer = new PanelRenderer({ rendermime, trans, live, ask });
  Widget.attach(renderer, document.body);
  await renderer.renderModel(new MimeModel({ data, trusted }));
}

const table = (tables: unknown) => ({
  [PANEL_MIME_TYPE]: { version: 1, kind: 'table', tables } as any,
  'text/html': HTML
});
const all = (selector: string) =>
  Array.from(renderer.node.querySelectorAll<HTMLElement>(selector));
const names = () =>
  all('table.lk-Table tbody tr')
    .filter(row => !row.hidden)
    .map(row => row.querySelector('td')?.textContent);

afterEach(() => renderer.dispose());

describe('a table in an output', () => {
  it('sorts by text up, down and as it came; what says nothing comes last', async () => {
    await show(table([]));
    const [head] = all('.lk-Table-sort');
    head.click();
    expect(names()).toEqual(['a', 'b2', 'B10', 'c', '']);
    expect(head.parentElement?.getAttribute('aria-sort')).toBe('ascending');
    head.click();
    expect(names()).toEqual(['c', 'B10', 'b2', 'a', '']);
    head.click();
    expect(names()).toEqual(NAMES);
    expect(head.parentElement?.hasAttribute('aria-sort')).toBe(false);
  });

  it('sorts by the numbers behind the text', async () => {
    await show(table([{ 1: TIMES }]));
    const [, head] = all('.lk-Table-sort');
    head.click();
    expect(names()).toEqual(['a', 'c', 'b2', 'B10', '']);
    head.click();
    expect(names()).toEqual(['B10', 'b2', 'c', 'a', '']);
  });

  it('shows the rows that hold every word of the filter', async () => {
    await show(table([]));
    const field = renderer.node.querySelector<HTMLInputElement>('.lk-Table-filter')!;
    field.value = ' B  20 ';
    field.dispatchEvent(new Event('input'));
    expect(names()).toEqual(['B10']);
    expect(all('[role=status]')[0].textContent).toBe('1 of 5');
    field.value = '';
    field.dispatchEvent(new Event('input'));
    expect(names()).toEqual(NAMES);
  });

  it('leaves tables without a head alone, and takes any keys', async () => {
    await show(table('nonsense'));
    expect(all('table.lk-Table')).toHaveLength(1);
    expect(readKeys([{ 0: [1, 'x'] }, null, 5])).toEqual([{ 0: [1, null] }, {}, {}]);
  });
});

describe('a memory panel without its kernel', () => {
  it('is the saved HTML and no widget, scripts left out', async () => {
    await show({
      [PANEL_MIME_TYPE]: { version: 1, kind: 'memory', agent: 'ada' },
      [VIEW]: { version_major: 2, version_minor: 0, model_id: 'gone' },
      'text/html': '<div>Name: Mara<script>window.ran = true;</script></div>'
    });
    expect(renderer.node.textContent).toContain('Name: Mara');
    expect(renderer.node.textContent).not.toContain('not found');
    expect((window as any).ran).toBeUndefined();
    expect(all('.lk-Widget')[0].hidden).toBe(true);
  });
});

describe('a comparison in an output', () => {
  const compared = (said: object) => ({
    [PANEL_MIME_TYPE]: { version: 1, kind: 'compare', ...said } as any,
    'text/html': '<p>columns</p>'
  });
  const buttons = () => all('.lk-Buttons button') as HTMLButtonElement[];

  it('is decided by a button, once', async () => {
    const asked: unknown[] = [];
    let fails = true;
    const ask = (async (...given: unknown[]) => {
      asked.push(given);
      if (fails) {
        throw new Error('ada is busy.');
      }
      return { said: 'Run 2 was kept.' };
    }) as Ask;
    await show(compared({ id: 'c1', choices: [1, 2] }), false, ask);
    expect(buttons().map(one => one.textContent)).toEqual(['Keep 1', 'Keep 2', 'Keep none']);
    buttons()[1].click();
    await new Promise(resolve => setTimeout(resolve));
    expect(all('[role=status]')[0].textContent).toBe('ada is busy.');
    fails = false;
    buttons()[1].click();
    await new Promise(resolve => setTimeout(resolve));
    expect(asked[1]).toEqual(['compare.keep', { id: 'c1', number: 2 }]);
    expect(all('[role=status]')[0].textContent).toBe('Run 2 was kept.');
    expect(buttons()).toEqual([]);
  });

  it('has no buttons where it is decided, where nobody can be asked, or where a file says anything else', async () => {
    const ask = (async () => null) as unknown as Ask;
    for (const [said, asks] of [
      [{ id: 'c1', choices: [] }, ask],
      [{ id: 'c1', choices: [1] }, undefined],
      [{ id: 7, choices: [1] }, ask],
      [{ id: 'c1', choices: ['<b>'] }, ask],
      [{ id: 'c1', choices: { length: 1e9 } }, ask]
    ] as [object, Ask | undefined][]) {
      await show(compared(said), false, asks);
      expect(buttons()).toEqual([]);
      renderer.dispose();
    }
    await show(compared({}), false, ask);
  });
});
