import { MimeModel, RenderMimeRegistry, standardRendererFactories } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import { Panel, Widget } from '@lumino/widgets';

import { RunRenderer } from '../src/renderer';
import { RUN_MIME_TYPE } from '../src/ui/snapshot';
import { call, ENDED, run } from './snapshots';

const VIEW = 'application/vnd.jupyter.widget-view+json';
const trans = nullTranslator.load('letta-kernel');

/** Stands for the widget manager's renderer: shows one widget for each model it is given. */
class WidgetView extends Panel implements IRenderMime.IRenderer {
  static shown: Widget[] = [];
  /** What has to come before it can draw, as after a reload. */
  static kernel: Promise<void> | null = null;
  /** Does it wait to be told what to show? */
  static empty = false;

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    if (WidgetView.kernel) {
      void WidgetView.kernel.then(() => this._draw(model));
    } else {
      this._draw(model);
    }
    return Promise.resolve();
  }

  private _draw(model: IRenderMime.IMimeModel): void {
    const widget = new Widget();
    if (!WidgetView.empty) {
      widget.node.textContent = `live ${(model.data[VIEW] as any).model_id}`;
    }
    this.addWidget(widget);
    WidgetView.shown.push(widget);
  }
}

/** The models a kernel has. */
class Models {
  readonly changed = new Signal<Models, void>(this);
  ids = new Set<string>();

  has(id: string): boolean {
    return this.ids.has(id);
  }
}

function registry(): RenderMimeRegistry {
  const rendermime = new RenderMimeRegistry({ initialFactories: standardRendererFactories });
  rendermime.addFactory(
    { safe: false, mimeTypes: [VIEW], createRenderer: () => new WidgetView() },
    -10
  );
  return rendermime;
}

function output(data: unknown, modelId?: string, trusted = true): MimeModel {
  const view = modelId === undefined ? {} : { [VIEW]: { model_id: modelId } };
  return new MimeModel({ data: { [RUN_MIME_TYPE]: data as any, ...view }, trusted });
}

let models: Models;
let renderer: RunRenderer;

beforeEach(() => {
  WidgetView.shown = [];
  WidgetView.kernel = null;
  WidgetView.empty = false;
  models = new Models();
  renderer = new RunRenderer({ rendermime: registry(), trans, live: models });
  Widget.attach(renderer, document.body);
});

afterEach(() => renderer.dispose());

function find(selector: string): HTMLElement {
  const found = renderer.node.querySelector<HTMLElement>(selector);
  if (!found) {
    throw new Error(`nothing matches ${selector} in ${renderer.node.innerHTML}`);
  }
  return found;
}

const seen = (selector: string) => find(selector).textContent;
const count = (selector: string) => renderer.node.querySelectorAll(selector).length;

describe('a saved run', () => {
  it('shows every entry in order, thoughts and calls folded', async () => {
    await renderer.renderModel(output(ENDED));
    expect(seen('.lk-Header')).toContain('ada');
    expect(seen('.lk-Header')).toContain('openai/scripted');
    const folds = renderer.node.querySelectorAll('details');
    expect(Array.from(folds, fold => fold.dataset.part)).toEqual([
      'passages',
      'thought',
      'call',
      'beside'
    ]);
    expect(seen('.lk-Chip')).toBe('a.ipynb 2 cells');
    expect(Array.from(folds).some(fold => fold.open)).toBe(false);
    expect(seen('.lk-Call summary')).toContain('temperature(city="Paris", days=3)');
    expect(seen('.lk-Call .lk-spoken')).toBe('done');
    expect(seen('.lk-Call .lk-inside')).toContain('looking it up');
    expect(seen('.lk-Call .lk-inside')).toContain('21.5');
    expect(seen('.lk-Diff-come')).toBe('+added: Asks about Paris.');
    expect(seen('.lk-Notice')).toContain('still being indexed');
    expect(seen('.lk-Answer .lk-Md')).toContain('21.5 °C');
    expect(seen('.lk-Footer')).toContain('2 steps · 1.8 s');
    expect(seen('.lk-Footer')).toContain('end_turn');
    expect(find('.lk-Run').getAttribute('aria-busy')).toBe('false');
  });

  it('makes nothing of the markup in any of its texts', async () => {
    const evil = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>';
    const items = [
      { kind: 'retrieved', passages: [{ text: evil }] },
      { kind: 'beside', parts: [{ name: evil, note: evil, text: evil }] },
      { kind: 'reasoning', text: evil },
      {
        ...ENDED.items[2],
        name: evil,
        arguments: { [evil]: evil },
        state: 'error',
        ...{ result: evil, error: `E: ${evil}`, traceback: evil, output: evil, progress: evil },
        display: { 'text/html': evil, 'text/plain': evil }
      },
      { ...ENDED.items[2], state: 'waiting', arguments: evil },
      { kind: 'memory', label: evil, before: evil, after: `${evil} more` },
      { kind: 'notice', level: 'error', text: evil },
      { kind: 'answer', text: evil }
    ];
    const footer = { stop_reason: evil, error: evil };
    const data = run({ agent: evil, model: evil, label: evil, items, footer });
    await renderer.renderModel(output(data));
    expect(count('script')).toBe(0);
    expect(count('[onerror]')).toBe(0);
    expect(count('img')).toBe(0);
    expect(seen('.lk-Answer')).toContain(evil);
    expect(seen('.lk-Header b')).toContain('<img');
    expect(seen('.lk-Diff')).toContain('<script>');
    expect(seen('.lk-Footer-error')).toContain('<script>');
    expect((window as any).hacked).toBeUndefined();
  });

  it('shows a figure beside the call, any other display behind its fold', async () => {
    const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    await renderer.renderModel(output(call({ display: { 'image/png': pixel } })));
    expect(count('.lk-Call > .lk-Call-display img')).toBe(1);
    await renderer.renderModel(
      output(call({ display: { 'text/html': '<table><tr><td>1</td></tr></table>' } }))
    );
    expect(count('.lk-Call > .lk-Call-display')).toBe(0);
    expect(count('details .lk-Call-display td')).toBe(1);
  });

  it('shows why a call failed without opening it', async () => {
    const failed = call({
      state: 'error',
      error: 'ValueError: no such city',
      result: 'Error: no such city',
      traceback: 'Traceback …'
    });
    await renderer.renderModel(output(failed));
    expect(seen('.lk-Call > .lk-Call-error')).toBe('ValueError: no such city');
    expect(seen('[data-part="traceback"]')).toContain('Traceback …');
    expect(seen('.lk-inside')).toContain('what the model was told');
  });

  it('opens a call that waits for a decision, with its arguments', async () => {
    await renderer.renderModel(output({ ...call({ state: 'waiting' }), state: 'waiting' }));
    expect((find('[data-part="call"]') as HTMLDetailsElement).open).toBe(true);
    expect(seen('.lk-Call-table')).toContain('Paris');
    expect(seen('.lk-Footer')).toContain('waits for approval');
  });

  it('says so when a later version wrote it', async () => {
    const model = new MimeModel({
      data: { [RUN_MIME_TYPE]: { version: 9 }, 'text/plain': 'ada: It is warm.' }
    });
    await renderer.renderModel(model);
    expect(seen('pre')).toBe('ada: It is warm.');
    await renderer.renderModel(output({ version: 9 }));
    expect(seen('pre')).toContain('later version');
  });

  it('stays usable when it leaves the page and comes back', async () => {
    await renderer.renderModel(output(ENDED));
    Widget.detach(renderer);
    await renderer.renderModel(output(run({ items: [{ kind: 'answer', text: 'Later.' }] })));
    Widget.attach(renderer, document.body);
    expect(seen('.lk-Answer .lk-Md')).toContain('Later.');
  });
});

describe('a run that goes on', () => {
  const started = run({ state: 'running', items: [{ kind: 'reasoning', text: 'Hm' }] });

  it('grows, and keeps what did not change', async () => {
    await renderer.renderModel(output(run({ state: 'running', items: ENDED.items.slice(0, 3) })));
    const drawn = find('[data-part="call"]');
    await renderer.renderModel(output(ENDED));
    expect(find('[data-part="call"]')).toBe(drawn);
    expect(count('.lk-Answer')).toBe(1);
    await renderer.renderModel(output(run({ items: ENDED.items.slice(0, 1) })));
    expect(count('.lk-Body > *')).toBe(1);
  });

  it('shows the thought being thought and folds it after', async () => {
    await renderer.renderModel(output(started));
    expect((find('details') as HTMLDetailsElement).open).toBe(true);
    expect(find('.lk-Run').getAttribute('aria-busy')).toBe('true');
    const items = [{ kind: 'reasoning', text: 'Hm' }, { kind: 'answer', text: 'Yes.' }];
    await renderer.renderModel(output(run({ state: 'running', items })));
    expect((find('details') as HTMLDetailsElement).open).toBe(false);
  });

  it('leaves a fold as the person put it', async () => {
    await renderer.renderModel(output(started));
    (find('details') as HTMLDetailsElement).open = false;
    const more = run({ state: 'running', items: [{ kind: 'reasoning', text: 'Hm, well' }] });
    await renderer.renderModel(output(more));
    expect(seen('details')).toContain('well');
    expect((find('details') as HTMLDetailsElement).open).toBe(false);
  });

  it('draws only the newest of the answers that come while one is being drawn', async () => {
    const said = (text: string) => run({ state: 'running', items: [{ kind: 'answer', text }] });
    await Promise.all(['a', 'a b', 'a b c'].map(text => renderer.renderModel(output(said(text)))));
    expect(seen('.lk-Answer')).toBe('a b c');
    expect(count('.lk-Md')).toBe(1);
  });
});

describe('a run that asks other agents', () => {
  const other = { ...ENDED, agent: 'bob <b>b</b>', items: [...ENDED.items] };
  const asking = (state: string, asked: unknown[] = [other]) =>
    output(run({ state: 'running', items: [{ ...ENDED.items[2], state, asked }] }));

  it('has their runs folded inside it, each with what it did and said', async () => {
    await renderer.renderModel(asking('ok'));
    const nested = find('details.lk-Nested') as HTMLDetailsElement;
    expect(nested.open).toBe(false);
    expect(nested.querySelector('summary')!.textContent).toBe('bob <b>b</b> 2 steps · 1.8 s');
    expect(nested.querySelectorAll('.lk-Call')).toHaveLength(1);
    expect(nested.querySelector('.lk-Answer strong')!.textContent).toBe('21.5 °C');
    expect(nested.querySelector('summary b b')).toBeNull();
  });

  it('grows, and leaves the folds as the person put them', async () => {
    const begun = { ...other, state: 'running', items: other.items.slice(0, 3) };
    await renderer.renderModel(asking('running', [begun]));
    const folds = () =>
      Array.from(
        renderer.node.querySelectorAll<HTMLDetailsElement>('.lk-Nested, .lk-Nested details')
      );
    expect(folds()[0].textContent).toContain('running');
    folds()[0].open = true;
    folds()[2].open = true;
    await renderer.renderModel(asking('running'));
    expect(folds().map(({ open }) => open).slice(0, 3)).toEqual([true, false, true]);
    expect(seen('.lk-Nested .lk-Answer')).toContain('in Paris');
  });
});

describe('a run whose output also holds a widget', () => {
  const going = run({ state: 'running' });

  it('shows the widget while its model lives, then the saved run', async () => {
    models.ids.add('m1');
    await renderer.renderModel(output(going, 'm1'));
    expect(seen('.lk-Widget')).toBe('live m1');
    expect(find('.lk-Run').hidden).toBe(true);
    await renderer.renderModel(output(going, 'm1'));
    expect(WidgetView.shown).toHaveLength(1);
    await renderer.renderModel(output(ENDED));
    expect(find('.lk-Run').hidden).toBe(false);
    expect(find('.lk-Widget').hidden).toBe(true);
    expect(WidgetView.shown[0].isDisposed).toBe(true);
  });

  it('shows the snapshot when the model is not there, and the widget once it is', async () => {
    await renderer.renderModel(output(going, 'm1'));
    expect(find('.lk-Run').hidden).toBe(false);
    expect(WidgetView.shown).toHaveLength(0);
    models.ids.add('m1');
    models.changed.emit();
    await new Promise(resolve => setTimeout(resolve));
    expect(find('.lk-Run').hidden).toBe(true);
    expect(seen('.lk-Widget')).toBe('live m1');
  });

  it('draws nothing behind the widget, and the newest state once that is gone', async () => {
    models.ids.add('m1');
    const said = (text: string) => run({ state: 'running', items: [{ kind: 'answer', text }] });
    await renderer.renderModel(output(said('early'), 'm1'));
    await renderer.renderModel(output(said('later'), 'm1'));
    expect(seen('.lk-Answer')).toBe('early');
    WidgetView.shown[0].dispose();
    expect(seen('.lk-Answer')).toBe('later');
  });

  it('shows the snapshot until the widget is drawn', async () => {
    let answer = () => {};
    WidgetView.kernel = new Promise(resolve => (answer = resolve));
    models.ids.add('m1');
    await renderer.renderModel(output(going, 'm1'));
    expect(find('.lk-Run').hidden).toBe(false);
    answer();
    await new Promise(resolve => setTimeout(resolve));
    expect(find('.lk-Run').hidden).toBe(true);
    expect(find('.lk-Widget').hidden).toBe(false);
  });

  it('shows the snapshot until the widget has something to show', async () => {
    WidgetView.empty = true;
    models.ids.add('m1');
    await renderer.renderModel(output(going, 'm1'));
    expect(find('.lk-Run').hidden).toBe(false);
    WidgetView.shown[0].node.append('told');
    await new Promise(resolve => setTimeout(resolve));
    expect(find('.lk-Run').hidden).toBe(true);
    expect(seen('.lk-Widget')).toBe('told');
  });

  it('shows the snapshot again when the widget closes', async () => {
    models.ids.add('m1');
    await renderer.renderModel(output(going, 'm1'));
    models.ids.delete('m1');
    WidgetView.shown[0].dispose();
    expect(find('.lk-Run').hidden).toBe(false);
    expect(find('.lk-Widget').hidden).toBe(true);
  });

  it('never shows a widget in a notebook that is not trusted', async () => {
    models.ids.add('m1');
    await renderer.renderModel(output(going, 'm1', false));
    expect(WidgetView.shown).toHaveLength(0);
    expect(find('.lk-Run').hidden).toBe(false);
  });

  it('never shows one where nothing knows the kernel', async () => {
    const own = new RunRenderer({ rendermime: registry(), trans });
    await own.renderModel(output(going, 'm1'));
    expect(WidgetView.shown).toHaveLength(0);
    own.dispose();
  });
});
