// What was tidied while an agent rested, and what is proposed: drawn as text, decided by mouse and keys.

import { SleepView, type ISleep } from '../src/ui/sleep';
import { ENGLISH } from '../src/ui/words';
import { hostileStrings } from './hostile';

const SLEEP: ISleep = {
  ...{ name: 'ada-sleeptime', every: 5, review: true, turns: 2, running: false, doubt: '' },
  last: { id: 's1', status: 'done', at: '2026-03-01T09:00:00Z', note: '', told: false, changed: ['human'] },
  proposals: [
    {
      ...{ id: 'p1', label: 'human', reason: 'She moved.' },
      parts: [
        { before: 'Bergen', after: 'Oslo' },
        { before: '', after: 'Has a cat' }
      ]
    },
    { id: 'p2', label: '', reason: '', parts: [{ before: '', after: 'The boat was called Terna.' }] }
  ]
};

let asked: [string, any][];
let refusal: Error | null;
let view: SleepView;

beforeEach(() => {
  asked = [];
  refusal = null;
  view = new SleepView(async (method, params) => {
    asked.push([method, params]);
    if (refusal) {
      throw refusal;
    }
    return null as never;
  }, ENGLISH);
  document.body.replaceChildren(view.node);
  view.update(SLEEP);
});

const named = (label: string) => view.node.querySelector<HTMLElement>(`[aria-label="${label}"]`)!;
const settle = () => new Promise(resolve => setTimeout(resolve));
const press = (node: HTMLElement, key: string) => {
  const event = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true });
  node.dispatchEvent(event);
};

describe('what is proposed', () => {
  it('is accepted or rejected, all of it, a block, or a part', async () => {
    named('Accept human').click();
    named('Reject part 2 of human').click();
    named('Accept all changes').click();
    await settle();
    expect(asked).toEqual([
      ['sleeptime.accept', { which: ['p1'] }],
      ['sleeptime.reject', { which: ['p1'], part: 2 }],
      ['sleeptime.accept', {}]
    ]);
  });

  it('is gone through by keys alone', async () => {
    const first = named('Proposed for human');
    first.focus();
    press(first, 'ArrowDown');
    expect(document.activeElement).toBe(named('Proposed for the archive'));
    press(document.activeElement as HTMLElement, 'r');
    await settle();
    expect(asked).toEqual([['sleeptime.reject', { which: ['p2'] }]]);
    view.update({ ...SLEEP, proposals: SLEEP.proposals.slice(0, 1) });
    expect(document.activeElement).toBe(named('Proposed for human')); // the next one
    press(named('Accept human'), 'r'); // in a button it is no key of the card's
    await settle();
    expect(asked).toHaveLength(1);
  });

  it('is refused in words', async () => {
    refusal = new Error('The block human was changed since.');
    named('Accept human').click();
    await settle();
    expect(view.node.querySelector('[role="alert"]')?.textContent).toBe('The block human was changed since.');
  });
});

describe('what was tidied', () => {
  it('is a badge until it was seen, and can be taken back', async () => {
    expect(view.node.querySelector('.lk-Badge')?.textContent).toContain('human');
    named('I have seen what was tidied').click();
    named('Take back what was tidied').click();
    await settle();
    expect(asked.map(([method]) => method)).toEqual(['sleeptime.told', 'sleeptime.undo']);
    view.update({ ...SLEEP, last: { ...SLEEP.last!, told: true }, proposals: [] });
    expect(named('I have seen what was tidied')).toBeNull();
    expect(named('Take back what was tidied')).not.toBeNull();
  });

  it('is nothing where nobody tidies', () => {
    view.update(null);
    expect(view.node.hidden).toBe(true);
  });

  it.each(hostileStrings())('shows hostile text as text: %s', (_, text) => {
    view.update({
      ...SLEEP,
      doubt: text,
      last: { ...SLEEP.last!, note: text, changed: [text] },
      proposals: [{ id: text, label: text, reason: text, parts: [{ before: text, after: `${text}!` }] }]
    });
    expect(view.node.querySelector('img, script, iframe, a, svg, [onerror], [onclick]')).toBeNull();
  });
});
