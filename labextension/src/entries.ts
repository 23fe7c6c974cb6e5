// Draws the entries of a run, one function for each kind.

import { diffLines } from './diff';
import { fold, h, type Child } from './dom';
import type { Bundle, IMemory, INotice, IReasoning, IRetrieved, IToolCall, Item } from './snapshot';
import {
  argumentsLine,
  duration,
  GLYPHS,
  oneLine,
  placeWord,
  pretty,
  prettyResult,
  stateWord,
  type Trans
} from './words';

/** Draws what is more than text, always as untrusted content. */
export interface IHosts {
  /** Draw Markdown into an element; drawing into the same element again replaces it. */
  markdown(host: HTMLElement, text: string): void;
  /** Draw a MIME bundle into an element; false if nothing in it can be shown. */
  bundle(host: HTMLElement, bundle: Bundle): boolean;
}

/** Lines of a diff that are shown without opening a fold. */
const DIFF_SHOWN = 12;

/** Draw any entry but an answer. `open` says whether its fold starts open. */
export function drawEntry(
  item: Exclude<Item, { kind: 'answer' }>,
  open: boolean,
  hosts: IHosts,
  trans: Trans
): HTMLElement {
  switch (item.kind) {
    case 'reasoning':
      return reasoning(item, open, trans);
    case 'tool_call':
      return toolCall(item, open, hosts, trans);
    case 'memory':
      return memory(item, trans);
    case 'notice':
      return notice(item, trans);
    case 'retrieved':
      return retrieved(item, open, trans);
  }
}

function reasoning(item: IReasoning, open: boolean, trans: Trans): HTMLElement {
  const summary = [h('em', '', trans.__('Thought')), ' · ', oneLine(item.text, 90)];
  return fold('thought', 'lk-muted lk-small', summary, [prose('lk-Thought', item.text)], open);
}

function toolCall(item: IToolCall, open: boolean, hosts: IHosts, trans: Trans): HTMLElement {
  const peek = argumentsLine(item);
  const said = item.state === 'ok' ? [] : [stateWord(item.state, trans)];
  if (item.seconds !== null) {
    said.push(duration(item.seconds));
  }
  if (item.progress) {
    said.push(oneLine(item.progress, 120));
  }
  const summary: Child[] = [
    glyph(item, trans),
    ' ',
    h('code', 'lk-Call-name', oneLine(item.name, 100)),
    h('span', 'lk-Call-arguments', `(${peek})`),
    said.length > 0 && h('span', 'lk-muted lk-small', ` ${said.join(' · ')}`)
  ];
  const picture = item.display !== null && hasPicture(item.display);
  const drawn = item.display === null ? null : h('div', 'lk-Call-display');
  const shown = drawn !== null && hosts.bundle(drawn, item.display ?? {});
  const inside = callDetails(item, peek, shown && !picture ? drawn : null, shown && picture, trans);
  const line = inside.length
    ? fold('call', '', summary, [h('div', 'lk-inside', ...inside)], open)
    : h('div', '', ...summary);
  return h(
    'div',
    'lk-Call',
    line,
    item.state === 'error' && item.error && h('div', 'lk-Call-error', oneLine(item.error, 300)),
    shown && picture && drawn
  );
}

/** What stands behind a call's fold; `drawn` is its display where that belongs there. */
function callDetails(
  item: IToolCall,
  peek: string,
  drawn: HTMLElement | null,
  pictureShown: boolean,
  trans: Trans
): HTMLElement[] {
  const details: HTMLElement[] = [];
  const place = placeWord(item.runsIn, trans);
  if (place) {
    details.push(h('div', 'lk-muted lk-small', place));
  }
  if (peek.length > 60 || item.state === 'waiting') {
    details.push(...callArguments(item.arguments, trans));
  }
  if (item.output) {
    details.push(labelled(trans.__('printed'), item.output));
  }
  if (drawn) {
    details.push(drawn);
  } else if (item.result && item.state !== 'error' && !pictureShown) {
    details.push(labelled(trans.__('result'), prettyResult(item.result)));
  }
  if (item.state === 'error' && item.result && item.result !== item.error) {
    details.push(labelled(trans.__('what the model was told'), item.result));
  }
  if (item.traceback) {
    details.push(
      fold(
        'traceback',
        'lk-muted lk-small',
        [trans.__('traceback')],
        [h('pre', 'lk-Text', item.traceback)]
      )
    );
  }
  return details;
}

function callArguments(given: IToolCall['arguments'], trans: Trans): HTMLElement[] {
  if (typeof given === 'string') {
    return given ? [labelled(trans.__('arguments'), given)] : [];
  }
  const rows = Object.entries(given).map(([name, value]) =>
    h(
      'tr',
      '',
      h('th', 'lk-muted', oneLine(name, 80)),
      h('td', '', prose('lk-Call-value', pretty(value)))
    )
  );
  for (const row of rows) {
    row.querySelector('th')?.setAttribute('scope', 'row');
  }
  return rows.length ? [h('table', 'lk-Call-table', h('tbody', '', ...rows))] : [];
}

function memory(item: IMemory, trans: Trans): HTMLElement {
  const lines = diffLines(item.before, item.after).map(({ sign, pieces }) =>
    h(
      'div',
      sign === '+' ? 'lk-Diff-come' : sign === '-' ? 'lk-Diff-gone' : 'lk-Diff-same',
      h('span', 'lk-Diff-sign', sign === '-' ? '−' : sign),
      ' ',
      ...pieces.map(piece =>
        piece.changed ? h('span', 'lk-Diff-changed', piece.text) : piece.text
      )
    )
  );
  const more = lines.splice(DIFF_SHOWN);
  return h(
    'div',
    'lk-Memory',
    hidden('✎', ''),
    ' ',
    h('span', 'lk-small', trans.__('memory'), ' ', h('b', '', oneLine(item.label, 80))),
    item.version !== null && h('span', 'lk-muted lk-small', ` v${item.version}`),
    lines.length > 0 && h('div', 'lk-Diff', ...lines),
    more.length > 0 &&
      fold(
        'more',
        'lk-muted lk-small',
        [trans._n('%1 more line', '%1 more lines', more.length)],
        [h('div', 'lk-Diff', ...more)]
      )
  );
}

function notice(item: INotice, trans: Trans): HTMLElement {
  const sign = { info: '·', warning: '!', error: '✗' }[item.level];
  const word = { info: '', warning: trans.__('Warning:'), error: trans.__('Error:') }[item.level];
  return h(
    'div',
    `lk-Notice lk-small lk-mod-${item.level}`,
    hidden(sign, word),
    ' ',
    oneLine(item.text, 1000)
  );
}

function retrieved(item: IRetrieved, open: boolean, trans: Trans): HTMLElement {
  const summary = trans._n(
    '%1 passage from archival memory',
    '%1 passages from archival memory',
    item.passages.length
  );
  return fold(
    'passages',
    'lk-muted lk-small',
    [summary],
    item.passages.map(passage => prose('lk-Passage', passage)),
    open
  );
}

function glyph(item: IToolCall, trans: Trans): HTMLElement {
  const sign = hidden(GLYPHS[item.state], stateWord(item.state, trans));
  sign.classList.add(`lk-mod-${item.state}`);
  return sign;
}

/** A sign for the eye, with a word for those who do not see it. */
function hidden(sign: string, word: string): HTMLElement {
  const seen = h('span', '', sign);
  seen.setAttribute('aria-hidden', 'true');
  return h('span', 'lk-Sign', seen, word && h('span', 'lk-spoken', word));
}

function labelled(label: string, text: string): HTMLElement {
  return h('div', '', h('div', 'lk-muted lk-label', label), h('pre', 'lk-Text', text));
}

function prose(className: string, text: string): HTMLElement {
  const element = h('div', className, text.trim());
  element.dir = 'auto';
  return element;
}

function hasPicture(bundle: Bundle): boolean {
  return Object.keys(bundle).some(mimeType => mimeType.startsWith('image/'));
}
