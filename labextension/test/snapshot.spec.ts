import { readSnapshot } from '../src/ui/snapshot';
import { ENDED, run } from './snapshots';

const SMALL = 'data:image/jpeg;base64,/9j/4AAQ';

describe('readSnapshot', () => {
  it('reads what the kernel writes', () => {
    const snapshot = readSnapshot(ENDED);
    expect(snapshot?.agent).toBe('ada');
    expect(snapshot?.items.map(item => item.kind)).toEqual([
      'retrieved',
      'reasoning',
      'tool_call',
      'memory',
      'notice',
      'beside',
      'answer'
    ]);
    expect(snapshot?.footer).toMatchObject({ stopReason: 'end_turn', steps: 2, promptTokens: 1234 });
  });

  it.each([null, 'run', 7, [], {}, { version: 2 }, { version: '1' }])('refuses %p', data => {
    expect(readSnapshot(data)).toBeNull();
  });

  it('leaves out what it does not know and empties what is of the wrong kind', () => {
    const snapshot = readSnapshot(
      run({
        agent: ['a'],
        state: 'exploded',
        footer: { steps: 'two', seconds: Infinity, cost: null },
        items: [
          null,
          'x',
          { kind: 'hologram' },
          { kind: 'answer', text: { html: '<b>' } },
          { kind: 'tool_call', state: 'odd', arguments: [1], display: [], seconds: 'long' },
          { kind: 'notice', level: 'shout', text: 1 },
          { kind: 'retrieved', passages: [1, { text: 2 }, { text: 'kept' }] },
          { kind: 'pictures', pictures: [1, { src: 'https://x/y.png' }, { alt: 'kept', src: SMALL }] },
          { kind: 'beside', parts: [1, { name: 2, text: 'kept' }] }
        ]
      })
    );
    expect(snapshot).toMatchObject({ agent: 'agent', state: 'ended' });
    expect(snapshot?.footer).toMatchObject({ steps: null, seconds: null, cost: null });
    expect(snapshot?.items).toMatchObject([
      { kind: 'answer', text: '' },
      { kind: 'tool_call', name: 'tool', state: 'ok', arguments: '', display: null, seconds: null },
      { kind: 'notice', level: 'info', text: '' },
      { kind: 'retrieved', passages: ['', 'kept'] },
      {
        kind: 'pictures',
        pictures: [
          { alt: '', src: '' },
          { alt: 'kept', src: SMALL }
        ]
      },
      { kind: 'beside', parts: [{ kind: '', name: '', note: '', text: 'kept' }] }
    ]);
  });

  it('bounds the number of entries', () => {
    const items = Array.from({ length: 5000 }, () => ({ kind: 'answer', text: 'a' }));
    expect(readSnapshot(run({ items }))?.items).toHaveLength(1001);
  });
});
