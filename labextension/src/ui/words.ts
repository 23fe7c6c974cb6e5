// The words and numbers a run is described with, the same as the kernel's own rendering uses.

import { oneLine } from './clean';
import type { CallState, IFooter, IToolCall } from './snapshot';
import { meaning } from './stopReasons';

export { oneLine };

/** Says things in a person's language, as JupyterLab's translation bundles do; `%1` is the first argument. */
export interface Trans {
  __(text: string, ...given: unknown[]): string;
  _n(one: string, many: string, count: number, ...given: unknown[]): string;
}

/** Where there are no translations. */
export const ENGLISH: Trans = {
  __: filled,
  _n: (one, many, count, ...given) => filled(count === 1 ? one : many, count, ...given)
};

/** Where JupyterLab's extension leaves the translations for what is drawn by a module of its own. */
export const TRANSLATIONS = Symbol.for('letta-kernel.translations');

/** The page's translations; English where it has none. */
export function translations(): Trans {
  return (globalThis as Record<symbol, Trans | undefined>)[TRANSLATIONS] ?? ENGLISH;
}

function filled(text: string, ...given: unknown[]): string {
  return text.replace(/%(\d)/g, (_, place: string) => String(given[Number(place) - 1]));
}

/**
 * The language that numbers and dates are written in: the page's, which JupyterLab sets to the one a person has
 * chosen, with the country the browser says.
 */
export function locale(): string {
  const page = document.documentElement.lang || 'en';
  const language = (tag: string) => tag.split('-')[0];
  return navigator.languages.find(tag => language(tag) === language(page)) ?? page;
}

/** A number with so many digits after its point. */
export function decimal(value: number, digits: number): string {
  const both = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return value.toLocaleString(locale(), both);
}

/** A share of 1, as people read it: `12.5%`. */
export function percent(share: number): string {
  return share.toLocaleString(locale(), { style: 'percent', maximumFractionDigits: 1 });
}

/** What an error says to a person. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A sign for each state of a call; its word always stands beside it, on screen or for a screen reader. */
export const GLYPHS: Record<CallState, string> = {
  writing: '✎',
  running: '◌',
  waiting: '◇',
  ok: '✓',
  error: '✗',
  interrupted: '■',
  denied: '⊘'
};

export function stateWord(state: CallState, trans: Trans): string {
  switch (state) {
    case 'writing':
      return trans.__('being written');
    case 'running':
      return trans.__('running');
    case 'waiting':
      return trans.__('waits for approval');
    case 'ok':
      return trans.__('done');
    case 'error':
      return trans.__('failed');
    case 'interrupted':
      return trans.__('interrupted');
    case 'denied':
      return trans.__('denied');
  }
}

/** Where a call ran, if not in the notebook. */
export function placeWord(runsIn: string, trans: Trans): string {
  switch (runsIn) {
    case 'sandbox':
      return trans.__('runs in its own process, from its stored source');
    case 'mcp':
      return trans.__('runs on an MCP server');
    default:
      return '';
  }
}

/** A duration as people read it: `40 ms`, `1.8 s`, `2 min 05 s`. */
export function duration(seconds: number): string {
  if (seconds < 0.0995) {
    return `${Math.round(Math.max(seconds, 0) * 1000)} ms`;
  }
  if (seconds < 59.95) {
    return `${decimal(seconds, 1)} s`;
  }
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}

/** US dollars with as many digits as it takes to see something. */
export function money(value: number): string {
  const dollars = (amount: number, digits: Intl.NumberFormatOptions) =>
    amount.toLocaleString(locale(), {
      style: 'currency',
      currency: 'USD',
      currencyDisplay: 'narrowSymbol',
      ...digits
    });
  if (value === 0) {
    return dollars(0, { maximumFractionDigits: 0 });
  }
  if (value >= 0.1) {
    return dollars(value, {});
  }
  const least = 1e-4;
  return (value < least ? '<' : '') + dollars(Math.max(value, least), { maximumSignificantDigits: 2 });
}

/** What the footer says, in order, without the stop reason. */
export function footerParts(footer: IFooter, trans: Trans): string[] {
  const parts: string[] = [];
  if (footer.steps) {
    parts.push(trans._n('%1 step', '%1 steps', footer.steps));
  }
  if (footer.seconds !== null) {
    parts.push(duration(footer.seconds));
  }
  if (footer.firstToken !== null) {
    parts.push(trans.__('first token %1', duration(footer.firstToken)));
  }
  if (footer.promptTokens || footer.completionTokens) {
    const extras = [
      footer.cachedTokens && trans.__('%1 cached', grouped(footer.cachedTokens)),
      footer.reasoningTokens && trans.__('%1 thinking', grouped(footer.reasoningTokens))
    ].filter(Boolean);
    parts.push(
      trans.__('%1 + %2 tokens', grouped(footer.promptTokens), grouped(footer.completionTokens)) +
        (extras.length ? ` (${extras.join(', ')})` : '')
    );
  }
  if (footer.cost) {
    parts.push(money(footer.cost));
  }
  return parts;
}

/** The few of them that stand on one narrow line: an unusual end, the time, all tokens, the cost. */
export function briefFooterParts(footer: IFooter, trans: Trans): string[] {
  const tokens = footer.promptTokens + footer.completionTokens;
  const usual = !footer.stopReason || ['well', 'waits'].includes(meaning(footer.stopReason));
  return [
    usual ? '' : oneLine(footer.stopReason, 80),
    footer.seconds === null ? '' : duration(footer.seconds),
    tokens ? trans._n('%2 token', '%2 tokens', tokens, grouped(tokens)) : '',
    footer.cost ? money(footer.cost) : ''
  ].filter(Boolean);
}

export function grouped(value: number): string {
  return value.toLocaleString(locale());
}

/** Arguments as one short line: `city="Paris", days=3`. */
export function argumentsLine(call: Pick<IToolCall, 'arguments'>, limit = 88): string {
  const line =
    typeof call.arguments === 'string'
      ? call.arguments
      : Object.entries(call.arguments)
          .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
          .join(', ');
  return oneLine(line, limit);
}

/** A value for reading: text as it is, anything else as JSON, indented where it is long. */
export function pretty(value: unknown): string {
  if (typeof value === 'string') {
    return value;
  }
  const line = JSON.stringify(value) ?? '';
  return line.length <= 80 ? line : JSON.stringify(value, null, 2);
}

/** A result for reading: JSON on one long line is indented. */
export function prettyResult(result: string): string {
  const text = result.trim();
  if (text.length > 80 && !text.includes('\n') && /^[{[]/.test(text)) {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return result;
    }
  }
  return result;
}
