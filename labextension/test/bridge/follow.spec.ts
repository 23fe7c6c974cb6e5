// The bridge follows the notebook in front and keeps the connections of the others.

import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { Bridge } from '../../src/bridge/follow';
import { PlayedKernel, settle } from './kernel';

const trans = nullTranslator.load('letta-kernel');

/** A notebook and its session, as far as the bridge looks at them. */
class PlayedPanel {
  constructor(public kernel: PlayedKernel | null) {
    const outer = this;
    this.sessionContext = {
      kernelChanged: new Signal<object, { newValue: unknown }>(this),
      statusChanged: new Signal<object, string>(this),
      kernelDisplayStatus: 'idle',
      get session() {
        return outer.kernel ? { kernel: outer.kernel } : null;
      }
    };
  }

  readonly sessionContext;
  readonly disposed = new Signal<this, void>(this);
  isDisposed = false;

  use(kernel: PlayedKernel | null): void {
    this.kernel = kernel;
    this.sessionContext.kernelChanged.emit({ newValue: kernel });
  }
}

class PlayedTracker {
  constructor(readonly panels: PlayedPanel[]) {
    this.currentWidget = panels[0] ?? null;
  }

  currentWidget: PlayedPanel | null;
  readonly widgetAdded = new Signal<this, PlayedPanel>(this);
  readonly currentChanged = new Signal<this, PlayedPanel | null>(this);

  forEach(visit: (panel: PlayedPanel) => void): void {
    this.panels.forEach(visit);
  }

  show(panel: PlayedPanel | null): void {
    this.currentWidget = panel;
    this.currentChanged.emit(panel);
  }
}

async function bridged(...kernels: (PlayedKernel | null)[]): Promise<[Bridge, PlayedTracker]> {
  const tracker = new PlayedTracker(kernels.map(kernel => new PlayedPanel(kernel)));
  const bridge = new Bridge(tracker as unknown as INotebookTracker, trans);
  await settle();
  return [bridge, tracker];
}

const as = (panel: PlayedPanel) => panel as unknown as NotebookPanel;

describe('the notebook in front', () => {
  it('may be missing, or have no kernel', async () => {
    const [bridge] = await bridged();
    expect([bridge.state, bridge.panel]).toEqual(['none', null]);
    const [other] = await bridged(null);
    expect(other.state).toBe('none');
    await expect(other.request('agents')).rejects.toMatchObject({ kind: 'NotConnected' });
  });

  it('is followed from one kernel to the next', async () => {
    const [bridge, tracker] = await bridged(new PlayedKernel());
    const states: string[] = [];
    bridge.stateChanged.connect((_, state) => states.push(state));
    const [panel] = tracker.panels;
    panel.kernel!.hello();
    const next = new PlayedKernel({ name: 'python3', implementation: 'ipython' });
    panel.use(next);
    await settle();
    panel.use(null);
    expect(states).toEqual(['ready', 'connecting', 'plain-python', 'none']);
    expect(bridge.rpcs).toEqual([]);
  });

  it('changes, and each change is told', async () => {
    const [first, second] = [new PlayedKernel(), new PlayedKernel()];
    const [bridge, tracker] = await bridged(first, second);
    first.hello({ project: 'one', home: '/one' });
    second.hello({ project: 'two', home: '/two' });
    expect(bridge.project).toBe('one');
    const told: unknown[] = [];
    bridge.notebookChanged.connect((_, panel) => told.push(panel));
    bridge.stateChanged.connect((_, state) => told.push(state));
    tracker.show(tracker.panels[1]);
    expect(told).toEqual(['ready', as(tracker.panels[1])]); // another project is ready
    expect(bridge.project).toBe('two');
    tracker.show(null);
    expect([bridge.state, bridge.project]).toEqual(['none', '']);
  });
});

describe('several notebooks', () => {
  it('tell what runs do if they are of one project', async () => {
    const kernels = [new PlayedKernel(), new PlayedKernel(), new PlayedKernel()];
    const [bridge] = await bridged(...kernels);
    kernels[0].hello();
    kernels[1].hello();
    kernels[2].hello({ home: '/elsewhere' });
    const heard: string[] = [];
    bridge.events.connect((_, { run_id }) => heard.push(run_id));
    let changes = 0;
    bridge.changed.connect(() => changes++);
    kernels.forEach((kernel, i) => {
      kernel.happen(`run-${i}`, 0, 1, 'run_started');
      kernel.say({ type: 'changed', what: ['runs'], agents: null });
    });
    expect(heard).toEqual(['run-0', 'run-1']);
    expect(changes).toBe(1); // each kernel notices it; once is enough
  });

  it('answer a question where the cell waits', async () => {
    const kernels = [new PlayedKernel(), new PlayedKernel()];
    const [bridge] = await bridged(...kernels);
    kernels[0].hello();
    kernels[1].hello({ asking: ['agent-1'] });
    const done = bridge.request('approve', { agent: 'agent-1', decisions: [] });
    expect(kernels[1].asked.method).toBe('approve');
    kernels[1].answer(null);
    expect(await done).toBeNull();
    const blocks = bridge.request('blocks', { agent: 'agent-1' });
    expect(kernels[0].asked.method).toBe('blocks');
    kernels[0].answer([]);
    expect(await blocks).toEqual([]);
  });

  it('stop a run wherever it runs', async () => {
    const kernels = [new PlayedKernel(), new PlayedKernel()];
    const [bridge] = await bridged(...kernels);
    kernels.forEach(kernel => kernel.hello());
    const stopped = bridge.request('cancel', { run: 'run-1' });
    kernels[0].answer(false);
    await settle();
    kernels[1].answer(true);
    expect(await stopped).toBe(true);
  });
});
