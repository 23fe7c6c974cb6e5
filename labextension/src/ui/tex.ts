// TeX as MathML, which browsers draw by themselves: the mathematics that answers are written in. What is not
// known here throws, and is shown as it was written; a whole typesetter would be larger than all else.

import { SYMBOLS } from './texsymbols';

const MATHML = 'http://www.w3.org/1998/Math/MathML';
const DEEPEST = 30;

/** Functions, named upright. Those of the second line have their limits below them. */
const FUNCTIONS = new Set(
  'sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp dim ker deg arg hom'.split(' ')
);
const LIMITED = new Set('lim max min sup inf det gcd Pr limsup liminf argmax argmin'.split(' '));
const BIG: Record<string, string> = {
  ...{ sum: '∑', prod: '∏', coprod: '∐', bigcup: '⋃', bigcap: '⋂', bigoplus: '⨁', bigotimes: '⨂' },
  ...{ bigvee: '⋁', bigwedge: '⋀' }
};
const INTEGRALS: Record<string, string> = { int: '∫', iint: '∬', iiint: '∭', oint: '∮' };
const ACCENTS: Record<string, string> = {
  ...{ bar: '¯', hat: '^', vec: '→', tilde: '~', dot: '˙', ddot: '¨', check: 'ˇ', breve: '˘' },
  ...{ overline: '¯', widehat: '^', widetilde: '~', overrightarrow: '→', overbrace: '⏞', mathring: '˚' }
};
const BELOW: Record<string, string> = { underline: '_', underbrace: '⏟' };
const SPACES: Record<string, string> = {
  ...{ ',': '0.17em', ':': '0.22em', '>': '0.22em', ';': '0.28em', '!': '-0.17em', ' ': '0.33em' },
  ...{ quad: '1em', qquad: '2em', enspace: '0.5em', thinspace: '0.17em' }
};
const SIZES = /^(?:big|Big|bigg|Bigg)[lrm]?$/;
const TEXTS = new Set('text mathrm textrm operatorname mathsf mathtt textbf textit mbox'.split(' '));
/** Nothing to be seen. */
const SILENT = new Set(
  'displaystyle textstyle scriptstyle nonumber notag left. right. relax hfill allowbreak limits nolimits'.split(' ')
);

/** Where the alphabets of letters begin, and the letters that stand elsewhere. */
const ALPHABETS: Record<string, [upper: number, lower: number, others: string]> = {
  mathbf: [0x1d400, 0x1d41a, ''],
  boldsymbol: [0x1d468, 0x1d482, ''],
  bm: [0x1d468, 0x1d482, ''],
  mathbb: [0x1d538, 0x1d552, 'CℂHℍNℕPℙQℚRℝZℤ'],
  mathcal: [0x1d49c, 0x1d4b6, 'BℬEℰFℱHℋIℐLℒMℳRℛeℯgℊoℴ'],
  mathscr: [0x1d49c, 0x1d4b6, 'BℬEℰFℱHℋIℐLℒMℳRℛeℯgℊoℴ'],
  mathfrak: [0x1d504, 0x1d51e, 'CℭHℌIℑRℜZℨ']
};

/** Tables: what stands around them, and how their columns are aligned. */
const TABLES: Record<string, [open: string, close: string, align: string]> = {
  ...{ matrix: ['', '', ''], pmatrix: ['(', ')', ''], bmatrix: ['[', ']', ''] },
  ...{ vmatrix: ['|', '|', ''], Vmatrix: ['‖', '‖', ''], Bmatrix: ['{', '}', ''] },
  ...{ smallmatrix: ['', '', ''], array: ['', '', ''], gathered: ['', '', ''], gather: ['', '', ''] },
  ...{ cases: ['{', '', 'left left'], equation: ['', '', ''], split: ['', '', 'right left'] },
  ...{ aligned: ['', '', 'right left'], align: ['', '', 'right left'] }
};

type Attributes = Record<string, string>;

function m(tag: string, attributes: Attributes, ...inside: (Node | string)[]): Element {
  const element = document.createElementNS(MATHML, tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  element.append(...inside);
  return element;
}

/** A formula as an element; throws where it is wrong or not known here. */
export function mathml(tex: string, display: boolean): Element {
  const parser = new Parser(tex, display);
  const formula = m('math', display ? { display: 'block' } : {}, parser.row([]));
  if (parser.next !== undefined) {
    throw new Error(`unexpected ${parser.next}`);
  }
  return formula;
}

class Parser {
  constructor(
    tex: string,
    private _display: boolean
  ) {
    this._tokens = tex.match(/\\(?:[a-zA-Z]+\*?|[^])|\d+(?:\.\d+)?|\s+|[^]/gu) ?? [];
  }

  /** The token that comes next. */
  get next(): string | undefined {
    return this._tokens[this._at];
  }

  /** What comes up to one of these tokens, which is left. */
  row(ends: string[]): Element {
    if (++this._depth > DEEPEST) {
      throw new Error('too deep');
    }
    const items: Element[] = [];
    for (this._skip(); this.next !== undefined && !ends.includes(this.next); this._skip()) {
      if (['}', '&', '\\\\', '\\right', '\\end'].includes(this.next)) {
        throw new Error(`unexpected ${this.next}`);
      }
      items.push(this._scripted());
    }
    this._depth--;
    return items.length === 1 ? items[0] : m('mrow', {}, ...items);
  }

  /** One item with what stands above, below and behind it. */
  private _scripted(): Element {
    const base = '^_'.includes(this.next ?? '') ? m('mrow', {}) : this._item();
    let [below, above]: (Element | null)[] = [null, null];
    let primes = '';
    let limits = this._display && base.getAttribute('movablelimits') === 'true';
    for (this._skip(); ; this._skip()) {
      if (this.next === '\\limits' || this.next === '\\nolimits') {
        limits = this._take() === '\\limits';
      } else if (this.next === "'") {
        this._take();
        primes += '′';
      } else if (this.next === '^' && !above) {
        this._take();
        above = this._argument();
      } else if (this.next === '_' && !below) {
        this._take();
        below = this._argument();
      } else {
        break;
      }
    }
    if (primes) {
      above = above ? m('mrow', {}, m('mo', {}, primes), above) : m('mo', {}, primes);
    }
    const scripts = [below, above].filter(one => one !== null);
    if (!scripts.length) {
      return base;
    }
    const [one, other] = limits ? ['munder', 'mover'] : ['msub', 'msup'];
    const tag = below && above ? (limits ? 'munderover' : 'msubsup') : below ? one : other;
    return m(tag, {}, base, ...scripts);
  }

  private _item(): Element {
    const token = this._take();
    if (token === '{') {
      const inside = this.row(['}']);
      this._expect('}');
      return m('mrow', {}, inside);
    }
    if (token.startsWith('\\') && token.length > 1) {
      return this._command(token.slice(1));
    }
    if (/^\d/.test(token)) {
      return m('mn', {}, token);
    }
    if (/^\p{L}$/u.test(token)) {
      return m('mi', {}, token);
    }
    if (token === '~') {
      return m('mspace', { width: '0.33em' });
    }
    if ('#$%&\\'.includes(token)) {
      throw new Error(`unexpected ${token}`);
    }
    return operator(token);
  }

  private _command(name: string): Element {
    if (name in SYMBOLS) {
      const sign = SYMBOLS[name];
      return /^\p{L}/u.test(sign) || '∞∅∂∇ℏℓ'.includes(sign) ? m('mi', {}, sign) : operator(sign);
    }
    if (FUNCTIONS.has(name)) {
      return m('mi', {}, name);
    }
    if (LIMITED.has(name)) {
      return m('mo', { movablelimits: 'true', lspace: '0em', rspace: '0.17em' }, name);
    }
    if (name in BIG) {
      return m('mo', { movablelimits: 'true', largeop: 'true' }, BIG[name]);
    }
    if (name in INTEGRALS) {
      return m('mo', { largeop: 'true' }, INTEGRALS[name]);
    }
    if (name in SPACES) {
      return m('mspace', { width: SPACES[name] });
    }
    if (SILENT.has(name)) {
      return m('mrow', {});
    }
    if (name in ACCENTS) {
      return m('mover', { accent: 'true' }, this._argument(), m('mo', {}, ACCENTS[name]));
    }
    if (name in BELOW) {
      return m('munder', {}, this._argument(), m('mo', {}, BELOW[name]));
    }
    if (name in ALPHABETS) {
      return this._letters(ALPHABETS[name]);
    }
    const plain = name.replace('*', '');
    if (TEXTS.has(plain)) {
      const text = this._text();
      return /^(?:text|mbox)/.test(plain) ? m('mtext', {}, text) : m('mi', { mathvariant: 'normal' }, text);
    }
    if (SIZES.test(name)) {
      return m('mo', { stretchy: 'true', minsize: name.startsWith('bigg') ? '2em' : '1.4em' }, this._delimiter());
    }
    switch (name) {
      case 'frac':
      case 'dfrac':
      case 'tfrac':
      case 'cfrac':
        return m('mfrac', {}, this._argument(), this._argument());
      case 'binom':
        return around('(', m('mfrac', { linethickness: '0' }, this._argument(), this._argument()), ')');
      case 'sqrt':
        return this._root();
      case 'left':
        return this._fenced();
      case 'begin':
        return this._table();
      case 'overset':
      case 'stackrel': {
        const above = this._argument();
        return m('mover', {}, this._argument(), above);
      }
      case 'underset': {
        const below = this._argument();
        return m('munder', {}, this._argument(), below);
      }
      case 'boxed':
        return m('menclose', { notation: 'box' }, this._argument());
      case 'not':
        return m('mo', {}, `${this._item().textContent}\u0338`);
      case 'pmod':
        return m('mrow', {}, operator('('), m('mi', {}, 'mod'), m('mspace', { width: '0.33em' }), this._argument(), operator(')'));
      case 'bmod':
      case 'mod':
        return m('mo', {}, 'mod');
    }
    throw new Error(`unknown \\${name}`);
  }

  private _argument(): Element {
    this._skip();
    return this._item();
  }

  private _root(): Element {
    this._skip();
    if (this.next !== '[') {
      return m('msqrt', {}, this._argument());
    }
    this._take();
    const degree = this.row([']']);
    this._expect(']');
    return m('mroot', {}, this._argument(), degree);
  }

  private _fenced(): Element {
    const open = this._delimiter();
    const parts: Element[] = [];
    for (;;) {
      parts.push(this.row(['\\right', '\\middle']));
      if (this.next !== '\\middle') {
        break;
      }
      this._take();
      parts.push(m('mo', { stretchy: 'true' }, this._delimiter()));
    }
    this._expect('\\right');
    return around(open, m('mrow', {}, ...parts), this._delimiter());
  }

  private _delimiter(): string {
    this._skip();
    const token = this._take();
    const sign = token === '\\{' ? '{' : token === '\\}' ? '}' : (SYMBOLS[token.slice(1)] ?? token);
    if (sign.length > 1) {
      throw new Error(`no delimiter: ${token}`);
    }
    return sign === '.' ? '' : sign;
  }

  private _table(): Element {
    const name = this._text();
    const known = TABLES[name.replace('*', '')];
    if (!known) {
      throw new Error(`unknown ${name}`);
    }
    if (name === 'array') {
      this._text(); // its columns
    }
    const rows: Element[] = [];
    for (;;) {
      const cells: Element[] = [];
      for (;;) {
        cells.push(m('mtd', {}, this.row(['&', '\\\\', '\\end'])));
        if (this.next !== '&') {
          break;
        }
        this._take();
      }
      if (cells.length > 1 || cells[0].textContent) {
        rows.push(m('mtr', {}, ...cells));
      }
      if (this.next !== '\\\\') {
        break;
      }
      this._take();
    }
    this._expect('\\end');
    if (this._text() !== name) {
      throw new Error(`${name} does not end`);
    }
    const [open, close, align] = known;
    const table = m('mtable', align ? { columnalign: align } : {}, ...rows);
    align.split(' ').forEach((side, column) => {
      for (const row of align ? rows : []) {
        row.children[column]?.setAttribute('style', `text-align: ${side}`);
      }
    });
    return open || close ? around(open, table, close) : table;
  }

  /** Letters of another alphabet. */
  private _letters([upper, lower, others]: [number, number, string]): Element {
    const found = (letter: string) => {
      const code = letter.charCodeAt(0);
      const elsewhere = others.indexOf(letter);
      if (elsewhere >= 0 && /[a-z]/i.test(letter)) {
        return String.fromCodePoint(others.codePointAt(elsewhere + 1) ?? code);
      }
      const from = /[A-Z]/.test(letter) ? upper - 65 : /[a-z]/.test(letter) ? lower - 97 : 0;
      return String.fromCodePoint(from + code);
    };
    this._skip();
    if (this.next === '{') {
      const inside = this._argument();
      for (const one of [inside, ...Array.from(inside.querySelectorAll('mi'))]) {
        if (one.localName === 'mi') {
          one.textContent = Array.from(one.textContent ?? '', found).join('');
        }
      }
      return inside;
    }
    return m('mi', {}, Array.from(this._take(), found).join(''));
  }

  /** What stands in braces, as it is. */
  private _text(): string {
    this._skip();
    if (this.next !== '{') {
      return this._take();
    }
    this._take();
    let text = '';
    let depth = 0;
    for (let token = this.next; token !== undefined && (token !== '}' || depth > 0); token = this.next) {
      this._take();
      depth += token === '{' ? 1 : token === '}' ? -1 : 0;
      text += /^\\[^a-z]/i.test(token) ? token.slice(1) : /^[{}]$/.test(token) ? '' : token;
    }
    this._take();
    return text;
  }

  private _skip(): void {
    while (this.next !== undefined && /^\s/.test(this.next)) {
      this._at++;
    }
  }

  private _take(): string {
    const token = this.next;
    if (token === undefined) {
      throw new Error('it ends too early');
    }
    this._at++;
    return token;
  }

  private _expect(token: string): void {
    if (this._take() !== token) {
      throw new Error(`${token} is missing`);
    }
  }

  private _tokens: string[];
  private _at = 0;
  private _depth = 0;
}

function operator(sign: string): Element {
  const shown = sign === '-' ? '−' : sign === '*' ? '∗' : sign;
  return '()[]{}|‖⟨⟩/'.includes(shown) ? m('mo', { stretchy: 'false' }, shown) : m('mo', {}, shown);
}

function around(open: string, inside: Element, close: string): Element {
  const fence = (sign: string) => (sign ? [m('mo', { stretchy: 'true', fence: 'true' }, sign)] : []);
  return m('mrow', {}, ...fence(open), inside, ...fence(close));
}
