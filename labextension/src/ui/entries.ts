// Draws the entries of a run, one function for each kind.

import { revealed } from './clean';
import { withTools } from './code';
import { diffLines, type IDiffLine } from './diff';
import { drawDisplay } from './display';
import { fold, h, type Child } from './dom';
import { drawMarkdown, highlightCode, type Highlight } from './markdown';
import type {
  Bundle,
  IAnswer,
  IBeside,
  IMemory,
  INotice,
  IPictures,
  IReasoning,
  IRetrieved,
  ISnapshot,
  ISpeaker,
  IToolCall,
  Item
} from './snapshot';
import {
  argumentsLine,
  duration,
  ENGLISH,
  footerParts,
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
  /** Draw Markdown into an element; drawing into the same element again replaces it. It may still grow. */
  markdown(host: HTMLElement, text: string, grows?: boolean): void;
  /** Draw a MIME bundle into an element; false if nothing in it can be shown. */
  bundle(host: HTMLElement, bundle: Bundle): boolean;
}

/** Draws it in any page; `highlight` colours code where there is something that can. */
export function hostsWith(highlight: Highlight | null, trans: Trans = ENGLISH): IHosts {
  const frame = (block: HTMLElement) => withTools(block, trans);
  const markdown = (host: HTMLElement, text: string, grows = false) => {
    drawMarkdown(host, text, frame, grows);
    if (highlight) {
      void highlightCode(host, highlight, grows);
    }
  };
  return { markdown, bundle: (host, bundle) => drawDisplay(host, bundle, markdown, trans) };
}

/** Lines of a diff that are shown without opening a fold. */
const DIFF_SHOWN = 12;
const CODE_SHOWN = 200;
/** Lines that are drawn at all. */
const DIFF_DRAWN = 3_000;
/** Lines shown around a change of code. */
const DIFF_AROUND = 3;

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
    case 'edited':
      return memory(item, trans);
    case 'notice':
      return notice(item, trans);
    case 'retrieved':
      return retrieved(item, open, trans);
    case 'speaker':
      return speaker(item);
    case 'pictures':
      return pictures(item, trans);
    case 'beside':
      return beside(item, open, trans);
  }
}

/** Signs of the agents of a group, by their places: beside a colour, for those who cannot tell it. */
const SIGNS = ['●', '■', '▲', '◆', '★', '✚'];
export const SPEAKERS = SIGNS.length;

function speaker(item: ISpeaker): HTMLElement {
  const sign = h('span', 'lk-Speaker-sign', SIGNS[item.place % SPEAKERS]);
  sign.setAttribute('aria-hidden', 'true');
  return h(
    'div',
    'lk-Speaker',
    ...[sign, ' ', h('b', '', oneLine(item.name, 80)), ' '],
    h('span', 'lk-muted lk-small', oneLine(item.model, 80)),
    ...(item.label ? [' ', h('span', 'lk-Chip', oneLine(item.label, 160))] : [])
  );
}

function reasoning(item: IReasoning, open: boolean, trans: Trans): HTMLElement {
  const start = h('span', 'lk-Thought-start', thoughtStart(item.text));
  start.dir = 'auto';
  const summary = [h('em', '', trans.__('Thought')), ' · ', start];
  return fold('thought', 'lk-muted lk-small', summary, [prose('lk-Thought', item.text)], open);
}

/** How a thought begins, in one line, without the marks of code in it. */
export function thoughtStart(text: string): string {
  return oneLine(text.replaceAll('`', ''), 90);
}

function toolCall(item: IToolCall, open: boolean, hosts: IHosts, trans: Trans): HTMLElement {
  const peek = argumentsLine(item) + (item.state === 'writing' ? '…' : '');
  const said = item.state === 'ok' ? [] : [item.progress || stateWord(item.state, trans)];
  if (item.seconds !== null) {
    said.push(duration(item.seconds));
  }
  const summary: Child[] = [
    glyph(item, trans),
    ' ',
    h('code', 'lk-Call-name', oneLine(item.name, 100)),
    h('span', 'lk-Call-arguments', `(${peek})`),
    ' ',
    h('span', 'lk-Call-said lk-muted lk-small', said.join(' · '))
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
    item.state === 'running' && item.output && h('pre', 'lk-Text lk-Call-output', item.output),
    item.state === 'error' && item.error && h('div', 'lk-Call-error', oneLine(item.error, 300)),
    ...item.asked.map((run, index) => asked(run, index, hosts, trans)),
    shown && picture && drawn
  );
}

/** The run of another agent that a call has asked for, folded; what it cites are numbers here. */
function asked(run: ISnapshot, index: number, hosts: IHosts, trans: Trans): HTMLElement {
  const states: Partial<Record<ISnapshot['state'], string>> = {
    running: trans.__('running'),
    waiting: trans.__('waits for approval'),
    interrupted: trans.__('interrupted')
  };
  const said = [states[run.state] ?? '', ...footerParts(run.footer, trans).slice(0, 2)].filter(Boolean);
  const summary = [h('b', '', oneLine(run.agent, 80)), ` ${said.join(' · ')}`];
  const inside = run.items.map((item, place) => {
    const node =
      item.kind === 'answer' ? nestedAnswer(item, hosts, trans) : drawEntry(item, false, hosts, trans);
    for (const details of node.querySelectorAll('details')) {
      details.dataset.part = `${index}.${place}.${details.dataset.part}`;
    }
    return node;
  });
  if (run.footer.error) {
    inside.push(h('div', 'lk-Call-error', oneLine(run.footer.error, 300)));
  }
  return fold(`asked-${index}`, 'lk-Nested lk-small', summary, [h('div', 'lk-inside', ...inside)]);
}

function nestedAnswer(item: IAnswer, hosts: IHosts, trans: Trans): HTMLElement {
  const node = h('div', 'lk-Answer');
  node.dir = 'auto';
  hosts.markdown(node, item.text);
  return item.interrupted
    ? h('div', '', node, h('div', 'lk-Answer-cut lk-small', trans.__('■ interrupted here')))
    : node;
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
  if (item.output && item.state !== 'running') {
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

/** Small pictures of what went with the message, each with its description. */
function pictures(item: IPictures, trans: Trans): HTMLElement {
  const shown = item.pictures.map(({ alt, src }) => {
    const said = oneLine(alt, 100) || trans.__('image');
    if (!src) {
      return h('span', 'lk-muted lk-small', said);
    }
    const picture = h('img', 'lk-Thumbnail');
    picture.alt = said;
    picture.src = src;
    return picture;
  });
  return h('div', 'lk-Thumbnails', ...shown);
}

function memory(item: IMemory, trans: Trans): HTMLElement {
  return h(
    'div',
    'lk-Memory',
    hidden('✎', ''),
    ' ',
    h(
      'span',
      'lk-small',
      item.kind === 'edited' ? trans.__('edited by hand:') : trans.__('memory'),
      ' ',
      h('b', '', oneLine(item.label, 80))
    ),
    item.version !== null && h('span', 'lk-muted lk-small', ` v${item.version}`),
    ...drawDiff(item.before, item.after, trans)
  );
}

/**
 * Which lines and words went and came; what is more than a dozen lines long is folded.
 *
 * @param around - Show it as a change of code: all that changed, and a few lines around.
 */
export function drawDiff(before: string, after: string, trans: Trans, around = false): HTMLElement[] {
  const kinds = { ' ': 'same', '-': 'gone', '+': 'come' };
  const spoken = { ' ': '', '-': trans.__('removed:'), '+': trans.__('added:') };
  const whole = around ? diffLines(revealed(before), revealed(after)) : diffLines(before, after);
  const found = whole.slice(0, DIFF_DRAWN);
  const near = around ? nearChanges(found) : null;
  const lines = found.flatMap(({ sign, pieces }, index) => {
    if (near && !near.has(index)) {
      return near.has(index - 1) || index === 0 ? [h('div', 'lk-Diff-same', '  ⋯')] : [];
    }
    const line = h(
      'div',
      `lk-Diff-${kinds[sign]}`,
      hidden(sign === '-' ? '−' : sign, spoken[sign]),
      ' ',
      ...pieces.map(piece =>
        piece.changed ? h('span', 'lk-Diff-changed', piece.text) : piece.text
      )
    );
    line.dir = around ? 'ltr' : 'auto';
    return [line];
  });
  if (whole.length > found.length) {
    const text = trans._n('%1 more line is not shown', '%1 more lines are not shown', whole.length - found.length);
    lines.push(h('div', 'lk-Diff-same', `  ${text}`));
  }
  const more = lines.splice(around ? CODE_SHOWN : DIFF_SHOWN);
  const shown = lines.length ? [h('div', 'lk-Diff', ...lines)] : [];
  const summary = trans._n('%1 more line', '%1 more lines', more.length);
  const rest = h('div', 'lk-Diff', ...more);
  return more.length
    ? [...shown, fold('more', 'lk-muted lk-small', [summary], [rest])]
    : shown;
}

/** The lines that changed, and those close to them. */
function nearChanges(lines: readonly IDiffLine[]): Set<number> {
  const near = new Set<number>();
  lines.forEach(({ sign }, index) => {
    for (let at = index - DIFF_AROUND; sign !== ' ' && at <= index + DIFF_AROUND; at++) {
      near.add(at);
    }
  });
  return near;
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

function beside(item: IBeside, open: boolean, trans: Trans): HTMLElement {
  const chips = item.parts.map(({ name, note }) => {
    const chip = h('span', 'lk-Chip', h('b', '', oneLine(name, 80)), note && ` ${oneLine(note, 80)}`);
    chip.dir = 'auto';
    return chip;
  });
  const summary: Child[] = [h('span', 'lk-spoken', trans.__('Beside the message:')), ...chips];
  const told = item.parts
    .filter(part => part.text)
    .map(part => labelled(oneLine(part.name, 80), part.text));
  return told.length
    ? fold('beside', 'lk-Beside lk-muted lk-small', summary, [h('div', 'lk-inside', ...told)], open)
    : h('div', 'lk-Beside lk-muted lk-small', ...summary);
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
