import { diffLines, together, type IDiffLine } from '../src/ui/diff';

/** Each line as its sign and text, changed words in brackets. */
function written(lines: IDiffLine[]): string[] {
  return lines.map(
    ({ sign, pieces }) =>
      sign + pieces.map(({ text, changed }) => (changed ? `[${text}]` : text)).join('')
  );
}

describe('diffLines', () => {
  it('shows a line that came', () => {
    expect(written(diffLines('Name: Lin', 'Name: Lin\nLikes tea.'))).toEqual([
      ' Name: Lin',
      '+Likes tea.'
    ]);
  });

  it('starts from nothing and goes to nothing', () => {
    expect(written(diffLines('', 'a\nb'))).toEqual(['+a', '+b']);
    expect(written(diffLines('a\nb', ''))).toEqual(['-a', '-b']);
    expect(diffLines('', '')).toEqual([]);
  });

  it('marks the words that changed within a line', () => {
    expect(written(diffLines('Lin lives in Paris now', 'Lin lives in Rome now'))).toEqual([
      '-Lin lives in [Paris] now',
      '+Lin lives in [Rome] now'
    ]);
  });

  it('marks nothing where two lines have little in common', () => {
    expect(written(diffLines('abc', 'Something else.'))).toEqual(['-abc', '+Something else.']);
  });

  it('finds what stayed between two changes', () => {
    expect(written(diffLines('a\nsame\nb', 'one\ntwo\nsame\nc d'))).toEqual([
      '-a',
      '+one',
      '+two',
      ' same',
      '-b',
      '+c d'
    ]);
  });

  it('takes the text of both sides apart and nothing else, at any size', () => {
    const before = Array.from({ length: 700 }, (_, i) => `line ${i % 13}`).join('\n');
    const after = Array.from({ length: 650 }, (_, i) => `line ${i % 11}`).join('\n');
    const lines = diffLines(before, after);
    const side = (dropped: string) =>
      lines
        .filter(line => line.sign !== dropped)
        .map(line => line.pieces.map(piece => piece.text).join(''))
        .join('\n');
    expect(side('+')).toBe(before);
    expect(side('-')).toBe(after);
  });
});

describe('two texts that began from one', () => {
  it.each([
    ['a\nb', 'a\nb\nx', 'a\nb\ny', 'a\nb\nx\ny'],
    ['a\nb', 'A\nb', 'a\nB', 'A\nB'],
    ['a\nb', 'a', 'x\na\nb', 'x\na'],
    ['', 'x', 'y', 'x\ny'],
    ['a', 'b', 'b', 'b'],
    ['a', 'b', 'c', null],
    ['a\nb\nc', 'a\nc', 'a\nc', 'a\nc']
  ])('%j: %j and %j are %j', (base, first, second, both) => {
    expect(together(base, first, second)).toBe(both);
  });
});
