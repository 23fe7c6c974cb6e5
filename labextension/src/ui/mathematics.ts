// What in a Markdown text is mathematics, and drawing it. The rule is that of the saved HTML.

import type { Tokens } from 'marked';

import { h } from './dom';
import { DELIMITERS, UNSAFE_TEX } from './rules';
import { mathml } from './tex';

const LONGEST_SEARCHED = 3000;
const LONGEST_TYPESET = 2000;

interface IFormula {
  raw: string;
  tex: string;
  opening: string;
}

/** The formula that a text begins with, if it does; a lone dollar stays a dollar. */
function formulaAt(text: string): IFormula | null {
  for (const [opening, closing] of DELIMITERS) {
    if (!text.startsWith(opening)) {
      continue;
    }
    const begin = opening.length;
    const end = text.slice(0, begin + LONGEST_SEARCHED).indexOf(closing, begin);
    const tex = text.slice(begin, end);
    if (end < 0 || !tex.trim() || tex.includes('\n\n')) {
      continue;
    }
    const after = text.charAt(end + closing.length);
    if (opening === '$' && (/^\s|\s$|\n/.test(tex) || /\d/.test(after))) {
      continue;
    }
    return { raw: text.slice(0, end + closing.length), tex, opening };
  }
  return null;
}

/** Where the next formula may begin, for the Markdown parser. */
export function mathStart(source: string): number | undefined {
  const found = source.search(/\$|\\[[(]/);
  return found < 0 ? undefined : found;
}

/** A formula as a token of the Markdown parser. */
export function mathToken(source: string): Tokens.Generic | undefined {
  const formula = formulaAt(source);
  return formula ? { type: 'math', ...formula } : undefined;
}

/** A formula as MathML; as code where it is not known or does more than show something. */
export function drawFormula(token: Tokens.Generic): Element {
  const { raw, tex, opening } = token as Tokens.Generic & IFormula;
  if (tex.length <= LONGEST_TYPESET && !UNSAFE_TEX.test(tex)) {
    const display = opening === '$$' || opening === '\\[';
    try {
      const drawn = mathml(tex, display);
      drawn.setAttribute('data-tex', display ? `\\[${tex}\\]` : `\\(${tex}\\)`);
      return drawn;
    } catch {
      // shown as it was written
    }
  }
  return h('code', '', raw);
}
