// A small diff of two memory values: which lines went and came, and which words changed within a line.

export interface IPiece {
  text: string;
  changed: boolean;
}

export interface IDiffLine {
  sign: ' ' | '-' | '+';
  pieces: IPiece[];
}

interface IChange {
  kind: 'same' | 'gone' | 'come';
  text: string;
}

/** Lines, or words of one line, that are compared one by one; of more, all count as replaced. */
const MOST = 400;

/** Below this share of common text, marking words would only be noise. */
const ALIKE = 0.4;

/** Compare two values line by line. */
export function diffLines(before: string, after: string): IDiffLine[] {
  const lines: IDiffLine[] = [];
  let gone: string[] = [];
  let come: string[] = [];
  const flush = () => {
    const pairs = gone.length === come.length ? gone.map((old, i) => within(old, come[i])) : null;
    lines.push(...gone.map((text, i) => line('-', pairs ? pairs[i][0] : whole(text))));
    lines.push(...come.map((text, i) => line('+', pairs ? pairs[i][1] : whole(text))));
    gone = [];
    come = [];
  };
  for (const { kind, text } of compare(split(before), split(after))) {
    if (kind === 'same') {
      flush();
      lines.push(line(' ', whole(text)));
    } else {
      (kind === 'gone' ? gone : come).push(text);
    }
  }
  flush();
  return lines;
}

/**
 * Put two texts together that came from one: what either changed, line by line. Null where both changed the
 * same lines, each in its own way.
 */
export function together(base: string, first: string, second: string): string | null {
  const lines = split(base);
  const [one, two] = [first, second].map(text => edits(lines, split(text)));
  const out: string[] = [];
  for (let i = 0; i <= lines.length; i++) {
    const same = one.come[i].join('\n') === two.come[i].join('\n');
    const bothRewrote = i > 0 && one.gone[i - 1] && two.gone[i - 1];
    if (bothRewrote && !same) {
      return null;
    }
    out.push(...one.come[i], ...(same ? [] : two.come[i]));
    if (i < lines.length && !one.gone[i] && !two.gone[i]) {
      out.push(lines[i]);
    }
  }
  return out.join('\n');
}

/** Which lines went, and which came before each line and at the end. */
function edits(old: string[], now: string[]): { gone: boolean[]; come: string[][] } {
  const gone = old.map(() => false);
  const come: string[][] = [...old, ''].map(() => []);
  let at = 0;
  for (const { kind, text } of compare(old, now)) {
    if (kind === 'come') {
      come[at].push(text);
    } else {
      gone[at++] = kind === 'gone';
    }
  }
  return { gone, come };
}

function line(sign: IDiffLine['sign'], pieces: IPiece[]): IDiffLine {
  return { sign, pieces };
}

function whole(text: string): IPiece[] {
  return [{ text, changed: false }];
}

function split(text: string): string[] {
  return text ? text.split('\n') : [];
}

/** The pieces of a line that was replaced by another, on either side. */
function within(old: string, now: string): [IPiece[], IPiece[]] {
  const words = /[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu;
  const changes = compare(old.match(words) ?? [], now.match(words) ?? []);
  const common = changes.reduce((sum, c) => sum + (c.kind === 'same' ? c.text.length : 0), 0);
  if (common < ALIKE * Math.max(old.length, now.length)) {
    return [whole(old), whole(now)];
  }
  return [merged(changes, 'come'), merged(changes, 'gone')];
}

/** One side's text, neighbouring words of the same fate joined. */
function merged(changes: IChange[], otherSide: IChange['kind']): IPiece[] {
  const pieces: IPiece[] = [];
  for (const { kind, text } of changes) {
    const changed = kind !== 'same';
    const last = pieces[pieces.length - 1];
    if (kind === otherSide) {
      continue;
    } else if (last && last.changed === changed) {
      last.text += text;
    } else {
      pieces.push({ text, changed });
    }
  }
  return pieces;
}

/** The longest common subsequence of two lists, as a list of changes. */
function compare(old: string[], now: string[]): IChange[] {
  let head = 0;
  while (head < Math.min(old.length, now.length) && old[head] === now[head]) {
    head++;
  }
  let tail = 0;
  while (
    tail < Math.min(old.length, now.length) - head &&
    old[old.length - 1 - tail] === now[now.length - 1 - tail]
  ) {
    tail++;
  }
  const a = old.slice(head, old.length - tail);
  const b = now.slice(head, now.length - tail);
  return [
    ...old.slice(0, head).map((text): IChange => ({ kind: 'same', text })),
    ...middle(a, b),
    ...old.slice(old.length - tail).map((text): IChange => ({ kind: 'same', text }))
  ];
}

function middle(a: string[], b: string[]): IChange[] {
  const changes: IChange[] = [];
  let i = 0;
  let j = 0;
  if (a.length <= MOST && b.length <= MOST) {
    const longest = lengths(a, b);
    while (i < a.length && j < b.length) {
      if (a[i] === b[j]) {
        changes.push({ kind: 'same', text: a[i++] });
        j++;
      } else if (longest[i + 1][j] >= longest[i][j + 1]) {
        changes.push({ kind: 'gone', text: a[i++] });
      } else {
        changes.push({ kind: 'come', text: b[j++] });
      }
    }
  }
  changes.push(...a.slice(i).map((text): IChange => ({ kind: 'gone', text })));
  changes.push(...b.slice(j).map((text): IChange => ({ kind: 'come', text })));
  return changes;
}

/** `lengths(a, b)[i][j]`: how long a common subsequence `a` from i and `b` from j have. */
function lengths(a: string[], b: string[]): Uint16Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i][j] =
        a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    }
  }
  return table;
}
