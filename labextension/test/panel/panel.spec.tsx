import { readFileSync } from 'fs';
import { join } from 'path';

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import * as React from 'react';
import { JsxEmit, ModuleKind, transpileModule } from 'typescript';

import { Actions } from '../../src/panel/actions';
import { hostsWith } from '../../src/ui/entries';
import { NO_PAST } from '../../src/ui/past';
import { SECTIONS } from '../../src/panel/model/agent';
import { PanelModel } from '../../src/panel/model/panel';
import { AgentsPanel } from '../../src/panel/panel';
import * as joining from '../../src/panel/sections';
import { PanelSections } from '../../src/panel/sections';
import { hostileStrings } from '../hostile';
import { agent, block, KernelRpc, message } from './rpc';

const trans = nullTranslator.load('letta-kernel');
const WHEN = '2026-01-02T03:04:05Z';

let panel: AgentsPanel;
let model: PanelModel;
let sections: PanelSections;

function open(rpc: KernelRpc): void {
  model = new PanelModel(rpc);
  panel = new AgentsPanel({
    model,
    trans,
    actions: new Actions(model, new CommandRegistry(), trans),
    hosts: hostsWith(null),
    sections: (sections = new PanelSections()),
    files: null,
    onMenu: () => undefined
  });
  Widget.attach(panel, document.body);
  MessageLoop.sendMessage(panel, Widget.Msg.AfterShow);
}

/** Wait until the panel shows something that meets a condition. */
async function until<T>(look: () => T | null | undefined | false): Promise<T> {
  for (let i = 0; i < 200; i++) {
    const found = look();
    if (found) {
      return found;
    }
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  throw new Error(`not there: ${look}\n${panel.node.innerHTML}`);
}

const find = (selector: string) => () => panel.node.querySelector<HTMLElement>(selector);
const says = (text: string) => () => panel.node.textContent?.includes(text);

function type(field: Element, text: string): void {
  const kind = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(kind.prototype, 'value')?.set?.call(field, text);
  field.dispatchEvent(new Event('input', { bubbles: true }));
}

function press(element: Element, key: string, options: KeyboardEventInit = {}): void {
  element.dispatchEvent(
    new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...options })
  );
}

afterEach(() => panel.dispose());

describe('AgentsPanel', () => {
  it('has a section more, made as CONTRIBUTING says', async () => {
    const text = readFileSync(join(__dirname, '../../../CONTRIBUTING.md'), 'utf-8');
    const code = /```tsx\n([^]*?)```/.exec(text)?.[1] ?? '';
    const { outputText } = transpileModule(code, {
      compilerOptions: { module: ModuleKind.CommonJS, jsx: JsxEmit.React }
    });
    const made: { default?: JupyterFrontEndPlugin<void> } = {};
    const modules: Record<string, unknown> = { react: React, './sections': joining };
    new Function('exports', 'require', outputText)(made, (name: string) => modules[name]);
    open(new KernelRpc());
    expect(made.default?.requires).toEqual([joining.IPanelSections]);
    void made.default?.activate({} as JupyterFrontEnd, sections);
    const button = await until(() =>
      Array.from(panel.node.querySelectorAll('button')).find(one => one.textContent === 'Name')
    );
    button.click();
    await until(says('This agent is called ada.'));
    expect(model.remembered.open).toContain('name');
    expect(() => sections.add({ ...sections.all[0]! })).toThrow('already');
  });

  it('lists the agents, and goes through them with the arrow keys', async () => {
    open(new KernelRpc());
    const chosen = await until(find('[role=option][aria-selected=true]'));
    expect(chosen.textContent).toContain('ada');
    press(chosen, 'ArrowDown');
    await until(() => find('[aria-selected=true]')()?.textContent?.includes('bob'));
    expect(document.activeElement?.textContent).toContain('bob');
    expect(panel.node.querySelectorAll('[role=option][tabindex="0"]')).toHaveLength(1);
  });

  it.each([
    ['none', 'Open a notebook'],
    ['connecting', 'The kernel is starting'],
    ['plain-python', 'plain Python'],
    ['old', 'Upgrade it'],
    ['lost', 'is lost']
  ] as const)('says what to do when the kernel is: %s', async (state, text) => {
    const rpc = new KernelRpc();
    rpc.state = state;
    open(rpc);
    await until(says(text));
    expect(find('[role=listbox]')()).toBeNull();
    rpc.become('ready');
    await until(find('[role=listbox]'));
  });

  it('offers to load the extension into plain Python', async () => {
    const rpc = new KernelRpc();
    rpc.state = 'plain-python';
    open(rpc);
    const button = await until(find('.lk-Welcome button'));
    expect(button.textContent).toBe('Add %load_ext letta_kernel');
    button.click();
    expect(rpc.count('insertLoadExt')).toBe(1);
  });

  it('says when there is no agent, and why they could not be read', async () => {
    const rpc = new KernelRpc({ agents: () => [] });
    open(rpc);
    await until(says('no agents yet'));
    rpc.answers.agents = () => {
      throw new Error('The disk is full.');
    };
    model.refresh();
    await until(says('The disk is full.'));
    find('.lk-Problem button')()?.click();
    await until(() => !says('The disk is full.')());
  });

  it('shows memory as a cell does', async () => {
    const rpc = new KernelRpc({ 'block.write': () => null });
    open(rpc);
    (await until(find('[aria-label="Edit human"]'))).click();
    const field = await until(find('.lk-Block textarea'));
    type(field, 'Lin likes tea');
    rpc.answers.blocks = () => [block('human', 'Lin likes tea', 2)];
    press(field, 'Enter', { ctrlKey: true });
    await until(() => !find('.lk-Block textarea')() && says('Lin likes tea')());
    expect(rpc.asked).toContainEqual([
      'block.write',
      { agent: 'agent-ada', label: 'human', value: 'Lin likes tea', expected_version: 1 }
    ]);
  });

  it('sends on Enter, not on Shift+Enter and not while a character is composed', async () => {
    const rpc = new KernelRpc();
    open(rpc);
    const field = await until(find('.lk-Box textarea'));
    type(field, 'Hello');
    press(field, 'Enter', { shiftKey: true });
    press(field, 'Enter', { isComposing: true });
    expect(rpc.said).toEqual([]);
    press(field, 'Enter');
    expect(rpc.said).toEqual([['ada', 'Hello', null]]);
    await until(says('Waits for its turn'));
    rpc.endTalk(new Error('The kernel died.'));
    await until(says('The kernel died.'));
  });

  it('shows a run as it happens, and asks', async () => {
    const rpc = new KernelRpc({ approve: () => null });
    open(rpc);
    await until(find('.lk-Box'));
    rpc.happen(
      ...(['agent-ada', 'run-1'] as const),
      { type: 'run_started', agent_name: 'ada', model: 'demo' },
      { type: 'step_started', number: 1 },
      { type: 'text_delta', text: 'I am **going** to pay.' },
      {
        type: 'approval_requested',
        calls: [{ id: 'c1', name: 'pay', arguments: '{"euros": 4}' }]
      }
    );
    await until(() => find('.lk-Chat strong')()?.textContent === 'going');
    const ask = await until(find('.lk-Ask'));
    expect(ask.textContent).toContain('"euros": 4');
    const button = (name: string) =>
      Array.from(panel.node.querySelectorAll<HTMLElement>('.lk-Ask button')).find(
        ({ textContent }) => textContent === name
      );
    button('Edit')?.click();
    const field = await until(find('.lk-Ask textarea'));
    type(field, '[1]');
    await until(() => (field as HTMLTextAreaElement).value === '[1]');
    button('Approve')?.click();
    await until(says('JSON object'));
    type(field, '{"euros": 3}');
    await new Promise(resolve => setTimeout(resolve, 20));
    button('Approve')?.click();
    await until(() => rpc.count('approve'));
    expect(rpc.asked[rpc.asked.length - 1][1]).toEqual({
      agent: 'agent-ada',
      decisions: [{ call_id: 'c1', approve: true, arguments: { euros: 3 } }]
    });
  });

  it('shows whatever anybody wrote as text', async () => {
    const all = hostileStrings()
      .map(([, text]) => text.slice(0, 1000))
      .join('\n\n');
    const tool = {
      ...{ id: 't', name: all, description: all, parameters: { properties: {} }, source: all },
      ...{ place: 'notebook', requires_approval: true, notebook: all, cell_id: all, calls: 2 },
      ...{ failures: 1, last_error: all, seconds: 1 }
    };
    const counts = { ...{ prompt_tokens: 1, completion_tokens: 1, seconds: 1, cost: 1 }, created_at: WHEN };
    const rpc = new KernelRpc({
      agents: () => [agent('ada', { name: all, description: all, answers: all, label: all })],
      blocks: () => [{ ...block(all, all), description: all, shared_with: [all], by: all, how: all }],
      context: () => ({ model: all, window: 10, parts: [{ name: all, tokens: 4, text: all }] }),
      tools: () => [tool],
      passages: () => [{ id: 'p', content: all, tags: [all], created_at: all }],
      messages: () => [
        message(1, { role: 'assistant', content: all, reasoning: all, name: all }),
        message(3, { thumbnails: [{ alt: all, src: all }] }),
        message(4, { role: 'user', sender_id: all, name: all, content: all }),
        message(2, { content: all, tool_calls: [{ id: 'c', name: all, arguments: all }] })
      ],
      pending: () => [{ id: 'c', name: all, arguments: all }],
      cost: () => ({ runs: 0 }),
      debugger: () => ({ stepping: false, breakpoints: [all], held: { title: all, why: all } }),
      timeline: () => ({ ...NO_PAST, origin: all, runs: [{ id: 'r', asked: all, steps: [], status: 'failed', error: all, of: all, ...counts }] }),
      runs: () => [{ id: 'r', status: 'failed', error: all, steps: 1, ...counts }]
    });
    open(rpc);
    SECTIONS.forEach(section => model.toggle(section, true));
    await until(() => SECTIONS.every(section => model.chosen?.[section].loaded));
    await until(find('.lk-RunRow'));
    const harmful = Array.from(panel.node.querySelectorAll('*')).filter(
      node =>
        ['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'STYLE', 'LINK', 'META', 'IMG', 'BASE'].includes(
          node.tagName
        ) ||
        Array.from(node.attributes).some(
          ({ name, value }) => /^on/.test(name) || /^\s*javascript:/i.test(value)
        )
    );
    expect(harmful.map(node => node.outerHTML.slice(0, 200))).toEqual([]);
    expect(panel.node.querySelector('.lk-Guard, .lk-Section-body > .lk-Problem')).toBeNull();
  });

  it('shows small pictures of what went with a message', async () => {
    const src = 'data:image/jpeg;base64,/9j/4AAQ';
    open(new KernelRpc({ messages: () => [message(1, { thumbnails: [{ alt: 'image 4x4 PNG, 9 B', src }] })] }));
    model.toggle('messages', true);
    const picture = await until(find('.lk-Message img'));
    expect(picture.getAttribute('src')).toBe(src);
    expect(picture.getAttribute('alt')).toBe('image 4x4 PNG, 9 B');
  });

  it('says which agent spoke a message, and offers nobody to say it again', async () => {
    const from = { role: 'user', sender_id: 'agent-b', name: 'bob', content: 'What is new?' } as const;
    open(new KernelRpc({ messages: () => [message(1, from)] }));
    model.toggle('messages', true);
    expect((await until(find('.lk-Message b'))).textContent).toBe('bob');
    model.toggle('chat', true);
    expect((await until(find('.lk-Prompt .lk-Bubble'))).textContent).toBe('bob: What is new?');
    expect(panel.node.querySelector('.lk-Prompt-again')).toBeNull();
  });

  it('loses only the section that cannot be drawn', async () => {
    const rpc = new KernelRpc({ blocks: () => [{ label: 'broken' }] });
    const error = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    open(rpc);
    await until(says('could not be shown'));
    expect(find('.lk-Box')()).not.toBeNull();
    error.mockRestore();
  });
});

describe('agents of other people', () => {
  const sharedBy = (...rights: ('read' | 'talk' | 'write')[]) => {
    const shared = { owner: 'ann', rights, tools: [] };
    return agent('ann/ada', { id: 'shared:ann/ada', answers: '', shared });
  };
  const server = { problem: '', server: 'http://letta', notice: 'Runs are counted.' };
  const opened = async (...rights: ('read' | 'talk' | 'write')[]) => {
    const rpc = new KernelRpc({
      shared: () => ({ ...server, agents: [sharedBy(...rights)] }),
      messages: () => [message(1, { name: 'ann' }), message(2)],
      blocks: () => [{ ...block('human', 'Kim'), read_only: !rights.includes('write') }]
    });
    open(rpc);
    await until(says('Shared with me'));
    model.choose('shared:ann/ada');
    await until(find('.lk-Whose'));
    return rpc;
  };
  const sections = () =>
    Array.from(panel.node.querySelectorAll<HTMLElement>('.lk-Section'), one => one.dataset.section);

  it('are a group of the list, reached with the arrow keys', async () => {
    await opened('talk');
    const group = find('.lk-Agents [role=group]')();
    const label = document.getElementById(group?.getAttribute('aria-labelledby') ?? '');
    expect(label?.textContent).toBe('Shared with me');
    expect(group?.querySelectorAll('[role=option]')).toHaveLength(1);
    const option = find('[aria-selected=true]')() as HTMLElement;
    expect(option.textContent).toContain('ann/ada');
    press(option, 'ArrowUp');
    await until(() => find('[aria-selected=true]')()?.textContent?.includes('bob'));
    press(find('[aria-selected=true]')() as HTMLElement, 'End');
    await until(() => find('[aria-selected=true]')()?.textContent?.includes('ann/ada'));
    expect(document.activeElement?.textContent).toContain('ann/ada');
  });

  it('are talked with, once it is said what is kept, and no memory is shown', async () => {
    const rpc = await opened('talk');
    await until(says('is kept at http://letta under your name. ann and whoever runs the server'));
    expect(panel.node.textContent).toContain('Runs are counted.');
    expect(panel.node.textContent).toContain('Its memory is not shown to you.');
    expect(sections()).toEqual(['chat']);
    const box = await until(find('.lk-Box textarea'));
    type(box, 'Hello');
    press(box, 'Enter');
    await until(() => rpc.said.length > 0);
    expect(rpc.said).toEqual([['shared:ann/ada', 'Hello', null]]);
    expect(find('.lk-Talks')()).toBeNull();
    expect(find('[aria-haspopup=menu]')()).toBeNull();
    rpc.endTalk();
  });

  it('are read, with who spoke, and then neither talked with nor changed', async () => {
    await opened('read');
    await until(says('You may read ann/ada, and not talk with it.'));
    expect(find('.lk-Box')()).toBeNull();
    expect(find('.lk-Chat .lk-mod-user b')()?.textContent).toBe('ann: ');
    expect(find('.lk-Prompt-again')()).toBeNull();
    await until(find('.lk-Block'));
    expect(sections()).toEqual(['chat', 'memory']);
    expect(find('[aria-label="Edit human"]')()?.hidden).toBe(true);
  });

  it('have blocks that are given another text, where that is granted', async () => {
    const rpc = await opened('write');
    rpc.answers['block.write'] = () => null;
    (await until(find('[aria-label="Edit human"]'))).click();
    for (const name of ['History', 'Remove', 'Undo', 'Redo']) {
      expect(find(`[aria-label="${name} human"]`)()).toBeNull();
    }
    const field = await until(find('.lk-Block textarea'));
    type(field, 'Kim likes tea');
    press(field, 'Enter', { ctrlKey: true });
    await until(() => rpc.count('block.write') === 1);
    const [, params] = rpc.asked.find(([name]) => name === 'block.write')!;
    const told = { agent: 'shared:ann/ada', label: 'human', value: 'Kim likes tea' };
    expect(params).toEqual({ ...told, expected_version: 1 });
  });

  it('are not there, and that is said, while own agents are', async () => {
    const rpc = new KernelRpc({
      shared: () => ({ ...server, agents: [], problem: 'The server cannot be reached.' })
    });
    open(rpc);
    await until(says('The server cannot be reached.'));
    await until(says('bob'));
    expect(panel.node.textContent).not.toContain('Shared with me');
    find('.lk-Problem button')()?.click();
    await until(() => !says('The server cannot be reached.')());
  });
});
