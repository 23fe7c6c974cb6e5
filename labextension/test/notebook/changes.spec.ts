// Changes of cells: all or none, one step of the notebook's undo, and taken back run by run.

import { YNotebook, type YCodeCell } from '@jupyter/ydoc';
import { nullTranslator } from '@jupyterlab/translation';

import { Changes } from '../../src/notebook/changes';
import type { Change } from '../../src/notebook/records';

const trans = nullTranslator.load('letta-kernel');

let notebook: YNotebook;
let changes: Changes;

beforeEach(() => {
  jest.spyOn(console, 'warn').mockReturnValue(); // of Yjs, about the cells that JupyterLab makes
  // As JupyterLab makes them: every cell has an undo of its own beside the notebook's.
  notebook = new YNotebook({ disableDocumentWideUndoRedo: true });
  notebook.insertCells(0, [code('one', 'a = 1'), code('two', 'b = 2\nb'), code('three', 'c = 3')]);
  notebook.undoManager.clear();
  changes = new Changes(notebook, trans);
});

function code(id: string, source: string, metadata: Record<string, boolean> = {}) {
  return { cell_type: 'code' as const, id, source, metadata, outputs: [], execution_count: null };
}

const sources = () => notebook.cells.map(({ source }) => source);
const ids = () => notebook.cells.map(({ id }) => id);
const cell = (id: string) => notebook.cells.find(one => one.id === id) as YCodeCell;
const apply = (run: string, ...made: Change[]) =>
  changes.apply({ run, agent: 'agent-1', agent_name: 'ada', changes: made });

const EDIT: Change = { op: 'edit', cell: 'two', before: 'b = 2\nb', source: 'b = 20\nb' };
const INSERT: Change = { op: 'insert', after: 'one', kind: 'code', source: 'new' };

it('makes all changes of a call in one step of the undo', () => {
  const made = apply(
    'run-1',
    EDIT,
    INSERT,
    { op: 'insert', after: null, kind: 'markdown', source: '# Top' },
    { op: 'move', cell: 'three', after: 'one' },
    { op: 'delete', cell: 'one', before: 'a = 1' }
  );
  const start = sources();
  expect(start).toEqual(['# Top', 'c = 3', 'new', 'b = 20\nb']);
  expect([made[0], made[3], made[4]]).toEqual(['two', 'three', 'one']);
  expect(cell(made[1]).source).toBe('new');
  notebook.undo();
  expect(sources()).toEqual(['a = 1', 'b = 2\nb', 'c = 3']);
  expect(notebook.canUndo()).toBe(false);
  notebook.redo();
  expect(sources()).toEqual(start);
});

it('says in the cell who changed it, and takes that back too', () => {
  const [, made] = apply('run-1', EDIT, INSERT);
  for (const id of ['two', made]) {
    expect(cell(id).getMetadata('letta')).toMatchObject({ by: 'ada', agent: 'agent-1', run: 'run-1' });
  }
  expect(cell('one').getMetadata('letta')).toBeUndefined();
  changes.undo('run-1');
  expect(cell('two').getMetadata('letta')).toBeUndefined();
});

it('is undone in the editor of an edited cell as well, and never twice', () => {
  const there = () => cell('two').source;
  apply('run-1', EDIT);
  cell('two').undo();
  expect(there()).toBe('b = 2\nb');
  expect(notebook.canUndo()).toBe(false);
  cell('two').redo();
  expect(there()).toBe('b = 20\nb');
  notebook.undo();
  cell('two').undo();
  expect(there()).toBe('b = 2\nb');
  apply('run-2', EDIT);
  notebook.undo();
  expect(cell('two').canUndo()).toBe(false);
  notebook.redo();
  cell('two').undo();
  expect(there()).toBe('b = 20\nb');
  notebook.undo();
  apply('run-3', EDIT);
  changes.undo('run-3');
  cell('two').undo();
  expect(there()).toBe('b = 2\nb');
  apply('run-4', EDIT);
  apply('run-4', INSERT);
  cell('two').undo();
  expect(there()).toBe('b = 20\nb');
  notebook.undo();
  expect(sources()).toEqual(['a = 1', 'b = 2\nb', 'c = 3']);
});

it('joins later changes of a run, but not of another nor after a change by hand', () => {
  apply('run-1', EDIT);
  apply('run-1', INSERT);
  apply('run-2', { op: 'edit', cell: 'three', before: 'c = 3', source: 'c = 4' });
  notebook.undo();
  expect(sources()).toEqual(['a = 1', 'new', 'b = 20\nb', 'c = 3']);
  notebook.undo();
  expect(sources()).toEqual(['a = 1', 'b = 2\nb', 'c = 3']);
  apply('run-3', INSERT);
  notebook.insertCell(0, code('hand', 'by hand'));
  apply('run-3', { op: 'insert', after: null, kind: 'code', source: 'later' });
  notebook.undo();
  expect(sources()).toEqual(['by hand', 'a = 1', 'new', 'b = 2\nb', 'c = 3']);
});

it.each<[string, string, Change[]]>([
  ['Changed', 'an edit of what was edited since', [{ ...EDIT, before: 'b = 1' } as Change]],
  ['Changed', 'a deletion of what was edited since', [{ op: 'delete', cell: 'one', before: '' }]],
  ['Changed', 'a second edit that does not know the first', [EDIT, EDIT]],
  ['NotFound', 'a cell that is not there', [{ op: 'delete', cell: 'none', before: '' }]],
  ['NotFound', 'a place that is not there', [{ ...INSERT, after: 'none' } as Change]],
  ['NotFound', 'a move to nowhere', [{ op: 'move', cell: 'one', after: 'none' }]],
  ['NotFound', 'an edit after a deletion', [
    { op: 'delete', cell: 'two', before: 'b = 2\nb' },
    EDIT
  ]],
  ['Invalid', 'a move below itself', [{ op: 'move', cell: 'one', after: 'one' }]]
])('refuses as %s %s, and changes nothing', (name, _, made) => {
  expect(() => apply('run-1', INSERT, ...made)).toThrow(expect.objectContaining({ name }));
  expect(sources()).toEqual(['a = 1', 'b = 2\nb', 'c = 3']);
  expect(notebook.canUndo()).toBe(false);
});

it('leaves cells alone that are protected', () => {
  notebook.insertCell(3, code('locked', 'd = 4', { editable: false, deletable: false }));
  const edit: Change = { op: 'edit', cell: 'locked', before: 'd = 4', source: '' };
  expect(() => apply('run-1', edit)).toThrow(expect.objectContaining({ name: 'Locked' }));
  const gone: Change = { op: 'delete', cell: 'locked', before: 'd = 4' };
  expect(() => apply('run-1', gone)).toThrow(expect.objectContaining({ name: 'Locked' }));
});

it('keeps a cell to write in, and the places of characters made of two', () => {
  const all = ['one', 'two', 'three'].map(id => ({
    ...{ op: 'delete' as const, cell: id },
    before: cell(id).source
  }));
  apply('run-1', ...all);
  expect(sources()).toEqual(['']);
  const [made] = apply('run-2', { op: 'insert', after: null, kind: 'code', source: 'x = "😀"' });
  apply('run-2', { op: 'edit', cell: made, before: 'x = "😀"', source: 'x = "😁"' });
  expect(cell(made).source).toBe('x = "😁"');
});

it('takes back a run in a step of its own, later ones left as they are', () => {
  const [, made] = apply('run-1', EDIT, INSERT, { op: 'delete', cell: 'three', before: 'c = 3' });
  apply('run-2', { op: 'edit', cell: 'one', before: 'a = 1', source: 'a = 10' });
  expect(changes.undo('run-1')).toEqual({ undone: ['three', made, 'two'], changed: [] });
  expect(sources()).toEqual(['a = 10', 'b = 2\nb', 'c = 3']);
  expect(ids()).toEqual(['one', 'two', 'three']);
  notebook.undo();
  expect(sources()).toEqual(['a = 10', 'new', 'b = 20\nb']);
  expect(() => changes.undo('run-1')).toThrow(expect.objectContaining({ name: 'NotFound' }));
});

it('takes back a cell that the run made, edited and moved', () => {
  const [made] = apply('run-1', INSERT);
  apply('run-1', { op: 'edit', cell: made, before: 'new', source: 'newer' });
  apply('run-1', { op: 'move', cell: made, after: 'three' });
  expect(changes.undo('run-1')).toEqual({ undone: [made], changed: [] });
  expect(sources()).toEqual(['a = 1', 'b = 2\nb', 'c = 3']);
});

it('leaves alone what somebody has changed since, until it is told to take that too', () => {
  const [, made] = apply('run-1', EDIT, INSERT, { op: 'move', cell: 'three', after: null });
  cell('two').setSource('b = 21');
  cell(made).setSource('mine now');
  expect(changes.undo('run-1')).toEqual({ undone: ['three'], changed: [made, 'two'] });
  expect(sources()).toEqual(['a = 1', 'mine now', 'b = 21', 'c = 3']);
  expect(changes.undo('run-1', true)).toEqual({ undone: [made, 'two'], changed: [] });
  expect(sources()).toEqual(['a = 1', 'b = 2\nb', 'c = 3']);
});

it('takes back what was changed before the page was loaded anew', () => {
  let text: string | null = null;
  const kept = { read: () => text, write: (now: string) => (text = now) };
  changes = new Changes(notebook, trans, kept);
  apply('run-1', EDIT, INSERT);
  expect(new Changes(notebook, trans, kept).undo('run-1').changed).toEqual([]);
  expect(sources()).toEqual(['a = 1', 'b = 2\nb', 'c = 3']);
  const none = new Changes(notebook, trans, { ...kept, read: () => 'no JSON' });
  expect(() => none.undo('run-1')).toThrow(expect.objectContaining({ name: 'NotFound' }));
});

it('does not mind what was undone by hand already', () => {
  apply('run-1', EDIT, INSERT, { op: 'delete', cell: 'three', before: 'c = 3' });
  notebook.undo();
  expect(changes.undo('run-1').changed).toEqual([]);
  expect(sources()).toEqual(['a = 1', 'b = 2\nb', 'c = 3']);
});

it('goes through the shared document: others see it, and what they do is not undone', () => {
  const other = new YNotebook({ disableDocumentWideUndoRedo: true });
  const { applyUpdate, encodeStateAsUpdate } = jest.requireActual('yjs');
  const sync = () => {
    applyUpdate(other.ydoc, encodeStateAsUpdate(notebook.ydoc));
    applyUpdate(notebook.ydoc, encodeStateAsUpdate(other.ydoc));
  };
  sync();
  apply('run-1', EDIT);
  sync();
  expect(other.cells[1].source).toBe('b = 20\nb');
  other.cells[0].setSource('a = 100');
  other.cells[1].updateSource(8, 8, '.real');
  sync();
  notebook.undo();
  expect(sources()).toEqual(['a = 100', 'b = 2\nb.real', 'c = 3']);
});
