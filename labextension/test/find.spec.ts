import { nullTranslator } from '@jupyterlab/translation';

import { h } from '../src/ui/dom';
import { Finder, findPlaces } from '../src/ui/find';

const trans = nullTranslator.load('letta-kernel');

function text({ startContainer, startOffset, endContainer, endOffset }: StaticRangeInit): string {
  const [first, last] = [startContainer, endContainer] as Text[];
  return first === last
    ? first.data.slice(startOffset, endOffset)
    : first.data.slice(startOffset) + last.data.slice(0, endOffset);
}

function body(html: string): HTMLElement {
  const node = h('div', '');
  node.innerHTML = html;
  document.body.append(node);
  return node;
}

afterEach(() => document.body.replaceChildren());

test('words are found in any case, across markup but not across blocks', () => {
  const root = body('<p>Ada <b>Love</b>lace</p><p>love</p><p>la</p><p>ce</p>');
  expect(findPlaces(root, 'lovelace').map(text)).toEqual(['Lovelace']);
  expect(findPlaces(root, 'LOVE').map(text)).toEqual(['Love', 'love']);
  expect(findPlaces(root, 'lace').map(text)).toEqual(['lace']);
});

test('nothing is looked for where nothing is asked, and no more than enough is found', () => {
  const root = body(`<p>${'a '.repeat(50)}</p>`);
  expect(findPlaces(root, '')).toEqual([]);
  expect(findPlaces(root, '  ')).toEqual([]);
  expect(findPlaces(root, 'a', 7)).toHaveLength(7);
});

test('what is only for screen readers is not found', () => {
  const root = body('<p>done <span class="lk-spoken">done</span></p>');
  expect(findPlaces(root, 'done')).toHaveLength(1);
});

test('letters that change their length in lower case keep their places', () => {
  const root = body('<p>İİ needle</p>');
  expect(findPlaces(root, 'needle').map(text)).toEqual(['needle']);
});

describe('the line to search with', () => {
  let root: HTMLElement;
  let finder: Finder;
  let field: HTMLInputElement;

  beforeEach(() => {
    root = body(
      '<details><summary>call</summary><p>Paris</p></details><p>in Paris</p>' +
        '<details><summary>Paris too</summary><p>x</p></details>'
    );
    finder = new Finder(root, trans);
    document.body.append(finder.node);
    field = finder.node.querySelector('input') as HTMLInputElement;
  });

  function type(words: string): void {
    field.value = words;
    field.dispatchEvent(new Event('input'));
  }

  function press(key: string, shiftKey = false): void {
    field.dispatchEvent(new KeyboardEvent('keydown', { key, shiftKey, bubbles: true }));
  }

  const count = () => finder.node.querySelector('[role=status]')?.textContent;

  test('counts the matches, goes round, and opens the folds they are in', () => {
    finder.open();
    const [first, second] = Array.from(root.querySelectorAll('details'));
    type('paris');
    expect(count()).toBe('1 of 3');
    expect(first.open).toBe(true);
    press('Enter');
    press('Enter');
    expect(count()).toBe('3 of 3');
    expect(second.open).toBe(false);
    press('Enter');
    expect(count()).toBe('1 of 3');
    press('Enter', true);
    expect(count()).toBe('3 of 3');
    type('nowhere');
    expect(count()).toBe('not found');
  });

  test('looks again when the run was drawn anew', () => {
    finder.open();
    type('paris');
    root.append(h('p', '', 'and Paris'));
    finder.refresh();
    expect(count()).toBe('1 of 4');
  });

  test('closes with Escape', () => {
    finder.open();
    press('Escape');
    expect(finder.node.querySelector<HTMLElement>('.lk-Find-line')?.hidden).toBe(true);
  });

  test('everything is unfolded, then folded', () => {
    finder.foldAll();
    expect(root.querySelectorAll('details[open]')).toHaveLength(2);
    finder.foldAll();
    expect(root.querySelectorAll('details[open]')).toHaveLength(0);
  });
});
