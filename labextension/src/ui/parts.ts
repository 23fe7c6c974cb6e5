// Parts of a transcript as JSON values: every text of them clean and bounded.
//
// The same as `letta_kernel/display/parts.py`.

import { cleanText, cleanThumbnail, oneLine } from './clean';
import { isRecord } from './snapshot';

export type Fields = Record<string, unknown>;

/** Characters of a call's arguments that are kept for people. */
const ARGUMENT_LIMIT = 8_000;
/** Characters of a text that was changed by hand, before and after. */
const EDIT_LIMIT = 12_000;
/** Of one message; others are named, so that a notebook stays small. */
const MOST_THUMBNAILS = 6;

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** A call's arguments by name, or the text as it is where it is no JSON object. */
export function parsed(written: string): unknown {
  try {
    const value: unknown = JSON.parse(written || '{}');
    return isRecord(value) ? value : written;
  } catch {
    return written;
  }
}

/** A value with clean strings, not too deep and not too large. */
export function plain(value: unknown, depth = 0, room = ARGUMENT_LIMIT): unknown {
  if (typeof value === 'string') {
    return cleanText(value, room);
  }
  if (typeof value !== 'object' || value === null) {
    return typeof value === 'number' && Math.abs(value) >= 1e300 ? String(value) : value;
  }
  if (depth >= 6) {
    return '…';
  }
  const share = (count: number, least: number) => Math.max(Math.floor(room / Math.max(count, 1)), least);
  if (Array.isArray(value)) {
    const items = value.slice(0, 200);
    return items.map(item => plain(item, depth + 1, share(items.length, 40)));
  }
  const pairs = Object.entries(value).slice(0, 100);
  const each = share(pairs.length, 200);
  return Object.fromEntries(pairs.map(([name, one]) => [oneLine(name, 200), plain(one, depth + 1, each)]));
}

export function thumbnail(given: Fields, place: number): Fields {
  return {
    alt: oneLine(given.alt ?? '', 100),
    src: place < MOST_THUMBNAILS ? cleanThumbnail(given.src) : ''
  };
}

/** What stood beside the message: of the notebook itself only how much, for its cells are in the page. */
export function part(data: Fields): Fields {
  const said = (name: string) => oneLine(text(data[name]), 200);
  return {
    ...{ kind: said('kind'), name: said('name'), note: said('note') },
    text: data.kind === 'notebook' ? '' : cleanText(text(data.text), 1_000)
  };
}

export function passage(given: Fields): Fields {
  const names = ['id', 'score', 'created_at', 'timestamp', 'tags'];
  const kept = names.filter(name => (given[name] ?? null) !== null);
  return {
    text: cleanText(given.content ?? given.text ?? '', 1_000),
    ...Object.fromEntries(kept.map(name => [name, plain(given[name])]))
  };
}

/** What a person changed by hand: what that is, and what stood there before. */
export function edited(given: Fields): Fields {
  const [before, after] = aroundTheChange(text(given.before), text(given.after));
  const what = [text(given.what), text(given.name)].filter(Boolean).join(': ');
  return {
    label: oneLine(what),
    before: cleanText(before, EDIT_LIMIT),
    after: cleanText(after, EDIT_LIMIT)
  };
}

/** Both texts without the lines they share at either end, but for a little context. */
export function aroundTheChange(before: string, after: string, context = 2): [string, string] {
  const [old, now] = [before.split('\n'), after.split('\n')];
  const shortest = Math.min(old.length, now.length);
  let head = 0;
  while (head < shortest && old[head] === now[head]) {
    head++;
  }
  let tail = 0;
  while (tail < shortest - head && old.at(-1 - tail) === now.at(-1 - tail)) {
    tail++;
  }
  const [start, end] = [Math.max(head - context, 0), Math.max(tail - context, 0)];
  const cut = (lines: string[]) =>
    [...(start ? ['…'] : []), ...lines.slice(start, lines.length - end), ...(end ? ['…'] : [])].join('\n');
  return [cut(old), cut(now)];
}
