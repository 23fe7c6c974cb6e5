// Memory as it is drawn in cells and in the panel, and asked about.

import type { AskBlocks, IBlock } from '../src/ui/blocks';
import { MemoryView } from '../src/ui/memory';
import { ENGLISH } from '../src/ui/words';
import { hostileStrings } from './hostile';

function block(value: string, changes: Partial<IBlock> = {}): IBlock {
  return {
    ...{ id: 'b1', label: 'human', value, limit: 20, description: '', read_only: false },
    ...{ version: 1, tokens: 3, shared_with: [], by: '', how: '', undoable: false, redoable: false },
    ...changes
  };
}

let asked: [string, any][];
let refusal: Error | null;
let view: MemoryView;

beforeEach(() => {
  asked = [];
  refusal = null;
  const ask: AskBlocks = async (method, params) => {
    asked.push([method, params]);
    if (refusal) {
      throw refusal;
    }
    return [] as never;
  };
  view = new MemoryView(ask, ENGLISH);
  document.body.replaceChildren(view.node);
  view.update([block('Lin')]);
});

const find = <E extends HTMLElement>(selector: string) => view.node.querySelector<E>(selector);
const named = (label: string) => find<HTMLButtonElement>(`[aria-label="${label}"]`);
const worded = (text: string) =>
  Array.from(view.node.querySelectorAll('button')).find(one => one.textContent === text);
const settle = () => new Promise(resolve => setTimeout(resolve));

function write(value: string): HTMLTextAreaElement {
  named('Edit human')?.click();
  const field = find<HTMLTextAreaElement>('textarea')!;
  field.value = value;
  field.dispatchEvent(new Event('input'));
  return field;
}

describe('a memory block', () => {
  it('is written at the version it was read at', async () => {
    write('Lin likes tea');
    worded('Save')?.click();
    await settle();
    expect(asked).toEqual([
      ['block.write', { label: 'human', value: 'Lin likes tea', expected_version: 1 }]
    ]);
    expect(find('textarea')).toBeNull();
  });

  it('is not written beyond its limit, counted in whole characters', () => {
    write('🐦'.repeat(20));
    expect(worded('Save')?.disabled).toBe(false);
    write('🐦'.repeat(21));
    expect(worded('Save')?.disabled).toBe(true);
    expect(find('.lk-Fill-part')?.dataset.level).toBe('over');
  });

  it.each([
    ['x'.repeat(18), 'fine'],
    ['x'.repeat(19), 'high'],
    ['x'.repeat(20), 'high']
  ])('says when it is nearly full: %s', (value, level) => {
    view.update([block(value)]);
    expect(find('.lk-Fill-part')?.dataset.level).toBe(level);
  });

  it('says of the sentence that is clicked where it comes from, as text', async () => {
    const told = ['Lin likes tea. ', 'She sails.'].map((text, at) => ({
      ...{ text, version: at + 1, at: '2026-03-01T09:00:00Z' },
      origin: `ada, <i>tool</i> ${at}`
    }));
    const other = new MemoryView((async () => told) as never, ENGLISH);
    document.body.replaceChildren(other.node);
    other.update([block('Lin likes tea. She sails.')]);
    const value = other.node.querySelector('.lk-Block-value')!;
    getSelection()?.collapse(value.firstChild, 17);
    value.dispatchEvent(new Event('click'));
    await settle();
    expect(other.node.textContent).toContain('“She sails.” · v2 · ');
    expect(other.node.textContent).toContain('ada, <i>tool</i> 1');
    getSelection()?.collapse(other.node, 0);
    value.dispatchEvent(new Event('click'));
    await settle();
    expect(other.node.textContent).toContain('v2');
  });

  it('is not changed here if it is read only', () => {
    view.update([block('Lin', { read_only: true })]);
    for (const label of ['Edit human', 'Undo human', 'Redo human']) {
      expect(named(label)?.hidden).toBe(true);
    }
    find('.lk-Block-value')?.dispatchEvent(new MouseEvent('dblclick'));
    expect(find('textarea')).toBeNull();
    expect(view.node.textContent).toContain('read only');
  });

  it('keeps what is being written when others write, and shows both', async () => {
    const field = write('mine');
    view.update([block('theirs', { version: 2 })]);
    expect(field.value).toBe('mine');
    expect(find('[role="alert"]')?.textContent).toContain('was changed while you edit it');
    refusal = Object.assign(new Error('Meanwhile.'), { kind: 'ConflictError' });
    worded('Save')?.click();
    await settle();
    const conflict = named('Conflict in human');
    expect(conflict?.textContent).toContain('theirs');
    refusal = null;
    worded('Save yours')?.click();
    await settle();
    expect(asked.at(-1)?.[1]).toMatchObject({ value: 'mine', expected_version: 2 });
    expect(named('Conflict in human')).toBeNull();
  });

  it('puts both texts together where they do not contradict', async () => {
    view.update([block('Lin', { limit: 99, version: 2 })]);
    write('Lin\nsails');
    const theirs = { limit: 99, version: 3, shared_with: ['bob'], by: 'bob', how: 'memory_insert' };
    view.update([block('Lin\nlikes tea', theirs)]);
    expect(find('[role="alert"]')?.textContent).toContain('bob changed this block');
    expect(find('[role="status"]')?.textContent).toBe('human (by bob): changed.');
    refusal = Object.assign(new Error('Meanwhile.'), { kind: 'ConflictError' });
    worded('Save')?.click();
    await settle();
    expect(named('Conflict in human')?.textContent).toContain('human was changed by bob');
    expect(view.node.textContent).toContain('Now in memory (v3, by bob)');
    refusal = null;
    worded('Put both together')?.click();
    worded('Save yours')?.click();
    await settle();
    const params = { label: 'human', value: 'Lin\nlikes tea\nsails', expected_version: 3 };
    expect(asked.at(-1)).toEqual(['block.write', params]);
  });

  it('says who shares it and who wrote it, and undoes no version that was not seen', async () => {
    expect(view.node.textContent).not.toContain('Last written');
    const shared = { shared_with: ['bob', 'cyd'], by: 'bob', how: 'memory_insert', version: 4 };
    view.update([block('Lin', { ...shared, undoable: true })]);
    expect(find('.lk-Shared')?.textContent).toBe('shared with bob, cyd');
    expect(view.node.textContent).toContain('Last written by bob, memory_insert');
    named('Undo human')?.click();
    expect(asked).toEqual([['block.undo', { label: 'human', expected_version: 4 }]]);
    await settle();
    view.update([block('Lin', { by: 'bob', version: 4 })]);
    expect(find('.lk-Shared')?.hidden).toBe(true);
  });

  it('shows both as soon as the other text is known, if saving was refused before', async () => {
    write('mine');
    refusal = Object.assign(new Error('Meanwhile.'), { kind: 'ConflictError' });
    worded('Save')?.click();
    await settle();
    view.update([block('theirs', { version: 2 })]);
    worded('Keep theirs')?.click();
    expect(find('.lk-Block-value')?.textContent).toBe('theirs');
    expect(find('textarea')).toBeNull();
  });

  it('is removed when that was confirmed', async () => {
    named('Remove human')?.click();
    expect(asked).toEqual([]);
    named('Remove human now')?.click();
    expect(asked).toEqual([['block.detach', { label: 'human' }]]);
    await settle();
    view.update([]);
    expect(find('.lk-Block')).toBeNull();
  });

  it('is made with a label, a limit and what it is for', async () => {
    worded('New block')?.click();
    const form = named('New memory block')!;
    const [label, limit, about] = form.querySelectorAll('input');
    label.value = ' plans ';
    limit.value = '12';
    about.value = 'what comes';
    form.querySelector('textarea')!.value = 'a tour';
    worded('Create block')?.click();
    expect(asked).toEqual([
      ['block.create', { label: 'plans', value: 'a tour', limit: 12, description: 'what comes' }]
    ]);
    await settle();
    expect(named('New memory block')).toBeNull();
  });
});

it('shows hostile blocks as text', () => {
  const all = hostileStrings().map(([, text]) => text.slice(0, 500)).join('\n');
  view.name = all;
  view.update([block(all, { label: all, description: all, shared_with: [all], by: all, how: all })]);
  const allowed = new Set(['div', 'span', 'b', 'button']);
  const found = Array.from(view.node.querySelectorAll('*')).map(({ localName }) => localName);
  expect(found.filter(name => !allowed.has(name))).toEqual([]);
});
