import { nullTranslator } from '@jupyterlab/translation';

import { readSnapshot, type IToolCall } from '../src/ui/snapshot';
import {
  argumentsLine,
  briefFooterParts,
  duration,
  footerParts,
  grouped,
  locale,
  money,
  oneLine,
  percent,
  prettyResult
} from '../src/ui/words';
import { call, ENDED } from './snapshots';

const trans = nullTranslator.load('letta-kernel');

function toolCall(given: unknown): IToolCall {
  return readSnapshot(call({ arguments: given }))?.items[0] as IToolCall;
}

describe('words', () => {
  it.each([
    [0, '0 ms'],
    [0.042, '42 ms'],
    [1.84, '1.8 s'],
    [59.97, '1 min 00 s'],
    [125, '2 min 05 s']
  ])('says %p seconds as %p', (seconds, said) => expect(duration(seconds)).toBe(said));

  it.each([
    [0, '$0'],
    [0.00000001, '<$0.0001'],
    [0.000424, '$0.00042'],
    [0.0123, '$0.012'],
    [12.345, '$12.35']
  ])('says %p dollars as %p', (value, said) => expect(money(value)).toBe(said));

  it('writes numbers in the language of the page, as the country of the browser has them', () => {
    const language = document.documentElement;
    language.lang = 'de';
    expect([duration(1.84), money(12.345), grouped(1234), percent(0.125)]).toEqual([
      '1,8 s',
      '12,35\u00a0$',
      '1.234',
      '12,5\u00a0%'
    ]);
    language.lang = 'en';
    expect(locale()).toBe('en-US'); // what the browser of the tests says
    language.lang = '';
    expect(grouped(1234)).toBe('1,234');
  });

  it('sums a run up', () => {
    const footer = readSnapshot(ENDED)!.footer;
    expect(footerParts(footer, trans)).toEqual([
      '2 steps',
      '1.8 s',
      'first token 0.3 s',
      '1,234 + 56 tokens (1,000 cached)',
      '$0.00042'
    ]);
    expect(briefFooterParts(footer, trans)).toEqual(['1.8 s', '1,290 tokens', '$0.00042']);
    const stopped = { ...footer, stopReason: 'max_steps', cost: null };
    expect(briefFooterParts(stopped, trans)).toEqual(['max_steps', '1.8 s', '1,290 tokens']);
  });

  it('writes arguments as one short line', () => {
    expect(argumentsLine(toolCall({ city: 'Paris', days: 3 }))).toBe('city="Paris", days=3');
    expect(argumentsLine(toolCall('{"city": "Pa'))).toBe('{"city": "Pa');
    expect(argumentsLine(toolCall({ text: 'x'.repeat(500) })).length).toBe(88);
  });

  it('cuts between characters', () => {
    expect(oneLine('🙂'.repeat(10), 4)).toBe('🙂🙂🙂…');
    expect(oneLine(' a\n\tb ', 10)).toBe('a b');
  });

  it('indents long JSON and leaves other results alone', () => {
    const long = JSON.stringify({ cities: Array.from({ length: 30 }, (_, i) => i) });
    expect(prettyResult(long)).toContain('\n  "cities"');
    expect(prettyResult('{"a": 1}')).toBe('{"a": 1}');
    expect(prettyResult('{broken' + 'x'.repeat(100))).toBe('{broken' + 'x'.repeat(100));
  });
});
