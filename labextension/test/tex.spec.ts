// Formulas as MathML, in short: the elements and their text.

import { mathml } from '../src/ui/tex';

function short(node: Node): string {
  if (!(node instanceof Element)) {
    return node.textContent ?? '';
  }
  const inside = Array.from(node.childNodes, short).join('');
  return ['mi', 'mn', 'mo', 'mrow'].includes(node.localName) ? inside : `${node.localName}(${inside})`;
}

describe('TeX', () => {
  it.each([
    ['x_1^2 < y', 'msubsup(x12)<y'],
    ["f'(x) = f''^2", "msup(f′)(x)=msup(f″2)".replace('″', '′′')],
    ['\\frac{1}{2n}\\sqrt[3]{x}', 'mfrac(12n)mroot(x3)'],
    ['e^{-\\lambda t}', 'msup(e−λt)'],
    ['\\bar{x} = \\frac1n', 'mover(x¯)=mfrac(1n)'],
    ['\\mathbb{R}^n \\to \\mathcal L', 'msup(ℝn)→ℒ'],
    ['\\text{if } x \\in \\{1, 2\\}', 'mtext(if )x∈{1,2}'],
    ['\\left( \\frac{a}{b} \\right]', '(mfrac(ab)]'],
    ['\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\\\ \\end{pmatrix}', '(mtable(mtr(mtd(1)mtd(2))mtr(mtd(3)mtd(4))))'],
    ['\\begin{cases} 1 & x > 0 \\\\ 0 & \\text{else} \\end{cases}', '{mtable(mtr(mtd(1)mtd(x>0))mtr(mtd(0)mtd(mtext(else))))'],
    ['\\operatorname{softmax}(z)_i', 'softmax(zmsub()i)'],
    ['\\hat{\\theta}_{\\mathrm{MLE}}', 'msub(mover(θ^)MLE)'],
    ['10\\,000 \\approx 3.5\\%', '10mspace()000≈3.5%'],
    ['\\binom{n}{k}', '(mfrac(nk))'],
    ['a \\not= b', 'a≠b'.replace('≠', '=\u0338')]
  ])('%j is drawn', (tex, drawn) => {
    expect(short(mathml(tex, false))).toBe(`math(${drawn})`);
  });

  it('puts limits below and above where a formula stands alone', () => {
    expect(short(mathml('\\sum_{i=1}^n i', true))).toBe('math(munderover(∑i=1n)i)');
    expect(short(mathml('\\lim_{x \\to 0} x', true))).toBe('math(munder(limx→0)x)');
    expect(short(mathml('\\int_0^1 x', true))).toBe('math(msubsup(∫01)x)');
    expect(short(mathml('\\sum_{i=1}^n i', false))).toBe('math(msubsup(∑i=1n)i)');
  });

  it.each(['x^', '\\frac{', 'a}', '\\foo', '\\left(', '\\begin{matrix}', '\\text{', '{'.repeat(900), 'a & b', '\\color{red}x'])(
    '%j is refused',
    tex => expect(() => mathml(tex, true)).toThrow()
  );
});
