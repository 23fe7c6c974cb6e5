// The buttons of code in answers.

import { hostsWith } from '../src/ui/entries';
import { setPage, type IPage } from '../src/ui/page';
import { findPlaces } from '../src/ui/find';

const ANSWER = 'Try\n\n```python\nx = 1\n```\n\n- or\n\n  ```\n  y = 2\n  ```\n';

let done: string[];

function shown(text = ANSWER, grows = false): HTMLElement {
  const host = document.createElement('div');
  document.body.replaceChildren(host);
  hostsWith(null).markdown(host, text, grows);
  return host;
}

const labels = (block: Element) => {
  block.dispatchEvent(new Event('pointerenter'));
  return Array.from(block.querySelectorAll('button'), ({ textContent }) => textContent);
};

beforeEach(() => {
  done = [];
  const place: IPage['place'] = (_node, language) => ({
    insert: code => done.push(`insert ${code}`),
    replace: language ? code => done.push(`replace ${code}`) : null,
    replaces: 'cell [1]',
    run: code => done.push(`run ${code}`)
  });
  setPage({ place } as IPage);
});

afterEach(() => setPage(null));

it('are to copy it alone where there is no notebook', () => {
  setPage(null);
  expect(Array.from(shown().querySelectorAll('.lk-Code'), labels)).toEqual([['Copy'], ['Copy']]);
});

it('put it into cells, as far as there are any', () => {
  const [first, second] = shown().querySelectorAll('.lk-Code');
  expect(labels(first)).toEqual(['Copy', 'Insert below', 'Replace', 'Run']);
  expect(labels(second)).toEqual(['Copy', 'Insert below', 'Run']);
  first.querySelectorAll('button').forEach(one => one.textContent !== 'Copy' && one.click());
  second.querySelectorAll('button')[1].click();
  expect(done).toEqual(['insert x = 1', 'replace x = 1', 'run x = 1', 'insert y = 2']);
});

it('keep the focus when they look again what can be done', () => {
  const [first] = shown().querySelectorAll('.lk-Code');
  labels(first);
  const insert = first.querySelectorAll('button')[1];
  insert.focus();
  labels(first);
  expect(document.activeElement).toBe(insert);
});

it('come when the code is there in full, whatever is drawn again', () => {
  const host = shown('```\nx', true);
  expect(host.querySelector('.lk-Code')).toBeNull();
  const { markdown } = hostsWith(null);
  markdown(host, '```\nx = 1\n```\n\nAnd', true);
  markdown(host, '```\nx = 1\n```\n\nAnd\n\n```\ny', true);
  expect(host.querySelectorAll('.lk-Code')).toHaveLength(1);
  markdown(host, '```\nx = 1\n```\n\nAnd\n\n```\ny\n```', false);
  markdown(host, '```\nx = 1\n```\n\nAnd\n\n```\ny\n```', false);
  expect(host.querySelectorAll('.lk-Code')).toHaveLength(2);
  expect(host.querySelectorAll('pre')).toHaveLength(2);
});

it('are not what is looked for in a run', () => {
  expect(findPlaces(shown(), 'copy')).toEqual([]);
});
