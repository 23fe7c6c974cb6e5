// Numbers of an answer that refer to what its turn found; the cases are those of the saved HTML.

import { cited, markCites } from '../src/ui/cites';
import { hostsWith } from '../src/ui/entries';
import { drawMarkdown } from '../src/ui/markdown';
import { readSnapshot } from '../src/ui/snapshot';
import { Transcript } from '../src/ui/transcript';
import { RunView } from '../src/ui/view';
import { ENGLISH } from '../src/ui/words';

const CITES = { '1': 'The boat leaves at nine.', '2': 'A "<b>quote</b>' };

function marked(text: string, cites: Record<string, string> = CITES): HTMLElement[] {
  const host = document.createElement('div');
  drawMarkdown(host, text);
  markCites(host, cites);
  markCites(host, cites); // as a text that grows is drawn again
  return Array.from(host.querySelectorAll('sup'));
}

it.each([
  ['At nine [1].', ['[1]']],
  ['[1][2] say so', ['[1]', '[2]']],
  ['Both [1, 2], not [3].', ['1', '2']],
  ['**bold [1]** and\n\n- item [2]', ['[1]', '[2]']],
  ['| a |\n|-|\n| [1] |', ['[1]']],
  ['他九点走[1]。', ['[1]']],
  ['[1](https://example.org) [x](https://example.org/[1])', []],
  ['`[1]` and\n\n```\nx = a[1]\n```', []],
  ['a[1], [^1], \\[1\\], [text][1], [01x], $x[1]$, ![1](https://example.org/x)', []],
  ['[1]\n\n[1]: https://example.org', []],
  ['[[1]](https://example.org)', []],
  ['[0] [3] [1000] [1,3x]', []]
])('marks in %j what refers to something', (text, numbers) => {
  expect(marked(text).map(one => one.textContent)).toEqual(numbers);
  expect(marked(text, {})).toEqual([]);
});

it('keeps what is cited as text', () => {
  const [mark] = marked('[2]');
  expect(mark.title).toBe('A "<b>quote</b>');
  expect(mark.children).toHaveLength(0);
});

it('takes from events what an answer cites, and no more', () => {
  const transcript = new Transcript();
  const passage = { n: 1, content: 'Boat at nine.', timestamp: '2026-03-01T09:00:00' };
  transcript.handle({ type: 'step_started', retrieved: [passage] });
  const hits = [2, 3].map(n => ({ n, text: `hit ${n}`, at: '2026-03-02T10:00', origin: 'ada, tool' }));
  transcript.handle({ type: 'tool_returned', call_id: 'c', name: 's', status: 'ok', text: '', cites: hits });
  transcript.handle({ type: 'text_delta', text: 'At nine [1], by hit [3]; not [7]. In 1, 2 or 3, `rows[2]`.' });
  const made = transcript.snapshot();
  expect(made.cites).toEqual([
    { n: 1, text: 'Boat at nine.', at: '2026-03-01T09:00:00', origin: '' },
    { n: 3, text: 'hit 3', at: '2026-03-02T10:00', origin: 'ada, tool' }
  ]);
  expect(readSnapshot(made)?.cites).toEqual({
    '1': 'Boat at nine. (2026-03-01)',
    '3': 'hit 3 (2026-03-02 · ada, tool)'
  });
});

it('lists as sources what is marked, and no more', () => {
  const text = 'At nine [1].\n\n```\n[2]\n```\n\nMarch 2, 2026, [2](https://example.org), `[2]`';
  const cites = [1, 2].map(n => ({ n, text: `hit ${n}`, at: '2026-03-02', origin: 'ada' }));
  const view = new RunView(hostsWith(null), ENGLISH);
  const data = { version: 1, state: 'ended', items: [{ kind: 'answer', text }], cites, footer: {} };
  view.update(readSnapshot(data)!);
  expect([...cited(view.body)]).toEqual(['1']);
  expect(view.node.textContent).toContain('[1] hit 1 (2026-03-02 · ada)');
  expect(view.node.textContent).not.toContain('hit 2');
  view.dispose();
});
