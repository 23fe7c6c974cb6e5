// What a widget shows where there is only a page and a kernel: a live run, or an agent's memory.
//
// Built into one module of its own, which the kernel sends to pages (letta_kernel/display/widget.py).

import type { IBlock } from './blocks';
import { hostsWith } from './entries';
import { Followed, type IEvents } from './followed';
import { LiveRun, type Question } from './live';
import { HIGHLIGHT, type Highlight } from './markdown';
import { MemoryView } from './memory';
import type { IPast } from './past';
import { TimelineView } from './timeline';
import { translations } from './words';

/** The style sheets of this module, put here when it is built. */
declare const STYLE: string;

/** What anywidget hands to a view. */
interface IModel {
  get(name: string): unknown;
  send(content: object): void;
  on(name: 'msg:custom', heard: (content: any) => void): void;
  off(name: 'msg:custom', heard: (content: any) => void): void;
}

interface IPlace {
  model: IModel;
  el: HTMLElement;
}

type Cleanup = () => void;

/** Milliseconds after which something is said again that was not heard. */
const SOON = 80;
const LATER = 1000;
const QUICKLY = 8;
/** So often; then nobody is there. */
const MOST = 40;
const MOST_OF_A_PANEL = 600;

/** Show what the model is of. */
export function render(place: IPlace): Cleanup {
  dress(place.el);
  return place.model.get('kind') === 'run' ? renderRun(place) : renderPanel(place);
}

function dress(node: HTMLElement): void {
  const root = node.getRootNode();
  const head = root instanceof ShadowRoot ? root : document.head;
  if (!head.querySelector('style[data-letta-kernel]')) {
    const style = document.createElement('style');
    style.dataset.lettaKernel = '';
    style.textContent = STYLE;
    head.append(style);
  }
}

/** Say something until it is heard, which `heard` tells. */
function repeat(say: () => void, heard: () => boolean, most = MOST): Cleanup {
  let times = 0;
  let timer: ReturnType<typeof setTimeout>;
  const go = () => {
    if (!heard() && times++ < most) {
      say();
      timer = setTimeout(go, times < QUICKLY ? SOON : LATER);
    }
  };
  go();
  return () => clearTimeout(timer);
}

function renderRun({ model, el }: IPlace): Cleanup {
  const highlight = (globalThis as Record<symbol, Highlight | undefined>)[HIGHLIGHT] ?? null;
  const trans = translations();
  const view = new LiveRun({
    hosts: hostsWith(highlight, trans),
    trans,
    stop: () => model.send({ type: 'stop' }),
    answer: (ask, answer) => model.send({ type: 'answer', ask, ...answer })
  });
  let begun = false;
  const followed = new Followed(
    (run_id, after) => model.send({ type: 'follow', run_id, after }),
    ({ events }) => view.handle(events)
  );
  const receive = (message: IEvents & { type: string; ask: Question | null }) => {
    if (message.type === 'events') {
      if (!begun) {
        begun = true;
        el.append(view.node);
      }
      followed.take(message);
    } else if (message.type === 'ask') {
      view.ask(message.ask);
      if (message.ask) {
        // The kernel asks in another way if it does not hear this: then clicks would not arrive either.
        model.send({ type: 'shown', ask: message.ask.id });
      }
    }
  };
  model.on('msg:custom', receive);
  // What is sent before the page has a subshell waits behind the cell.
  const quiet = repeat(
    () => model.send({ type: 'follow', run_id: '', after: 0 }),
    () => begun
  );
  return () => {
    quiet();
    model.off('msg:custom', receive);
    view.dispose();
  };
}

/** Milliseconds: how long an answer may take, and how often a page says that it is looked at. */
const TIMEOUT = 30_000;
const HERE = 10_000;

/** What is drawn of a panel. */
interface IView {
  node: HTMLElement;
  update: (message: IPanelMessage) => void;
}

function viewOf(kind: string, ask: <T>(method: string, params: object) => Promise<T>): IView {
  const trans = translations();
  if (kind === 'memory') {
    const memory = new MemoryView(ask, trans);
    const update = ({ agent, blocks }: IPanelMessage) => {
      memory.name = agent;
      memory.update(blocks);
    };
    return { node: memory.node, update };
  }
  const timeline = new TimelineView(ask, trans);
  const update = (message: IPanelMessage) => {
    timeline.name = message.agent;
    timeline.update(message);
  };
  return { node: timeline.node, update };
}

interface IPanelMessage extends IPast {
  type: string;
  agent: string;
  blocks: IBlock[];
  id: string;
  result?: unknown;
  error?: { kind: string; message: string };
}

function renderPanel({ model, el }: IPlace): Cleanup {
  const asked = new Map<string, (message: Partial<IPanelMessage>) => void>();
  const page = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
  let count = 0;
  const ask = <T>(method: string, params: object): Promise<T> =>
    new Promise((resolve, reject) => {
      const id = `${page}-${count++}`;
      const take = ({ result, error }: Partial<IPanelMessage>) => {
        clearTimeout(timer);
        asked.delete(id);
        if (error) {
          reject(Object.assign(new Error(error.message), { kind: error.kind }));
        } else {
          resolve(result as T);
        }
      };
      const late = translations().__('The kernel does not answer; nothing is known to be saved.');
      const timer = setTimeout(() => take({ error: { kind: 'Late', message: late } }), TIMEOUT);
      asked.set(id, take);
      model.send({ type: 'request', id, method, params });
    });
  const view = viewOf(String(model.get('kind')), ask);
  let begun = false;
  const receive = (message: IPanelMessage) => {
    if (message.type === 'reply') {
      asked.get(message.id)?.(message);
    } else if (message.type === 'state') {
      view.update(message);
      if (!begun) {
        begun = true;
        el.append(view.node); // empty until there is something to show: the saved form stands so long
      }
    }
  };
  model.on('msg:custom', receive);
  let placed = false;
  const ready = () => {
    // Does the page show the saved form once the kernel is gone?
    const hosted = el.isConnected ? el.closest('.lk-SavedPanel') !== null : null;
    placed = hosted !== null;
    model.send({ type: 'ready', hosted });
  };
  const quiet = repeat(ready, () => begun && placed, MOST_OF_A_PANEL);
  const here = () => {
    if (el.isConnected && !document.hidden && el.checkVisibility?.() !== false) {
      model.send({ type: 'here' });
    }
  };
  const beat = setInterval(here, HERE);
  document.addEventListener('visibilitychange', here);
  return () => {
    quiet();
    clearInterval(beat);
    document.removeEventListener('visibilitychange', here);
    model.off('msg:custom', receive);
  };
}
