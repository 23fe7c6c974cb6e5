// Every text of the front end goes through a translator: read from the sources, so that no view is left out.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import * as ts from 'typescript';

const SOURCES = join(__dirname, '..', 'src');
/** Attributes and properties that are read by people. */
const READ = /^(label|title|alt|placeholder|caption|tooltip|aria-(label|description|roledescription|valuetext)|textContent|innerText|ariaLabel)$/;
/** Functions of ours that show the texts they are given. */
const SHOWS = new Set(['h', 'named', 'fold', 'append', 'prepend', 'replaceChildren', 'before', 'after']);
/** Where a text of `h(tag, class, …children)` begins, and of the others. */
const FIRST: Record<string, number> = { h: 2, named: 2, fold: 2 };
/** Words that are the same in every language: names, units, what is typed. */
const SAME = /^[^\p{L}]*$|^(Letta|JSON|MCP|ms|s|min|[A-Z]|[a-z]|%agent.*|%load_ext.*)$/u;

/** A literal that reads as a sentence is one that somebody reads, wherever it stands. */
const SENTENCE = /^[%\p{Lu}][^\n]*\p{L}\S* \S*\p{L}\S* \S*\p{L}/u;
/** Who else reads: the translator, the console, those who write code with ours. */
const TOLD = /^(trans|_trans|this\._trans|this\.trans|console)\.|^(Token|new Token)|\b__$|\b_n$/;

interface IFound {
  where: string;
  text: string;
}

function told(node: ts.Node): boolean {
  const { parent } = node;
  if (ts.isCallExpression(parent) || ts.isNewExpression(parent)) {
    return TOLD.test(parent.expression.getText());
  }
  return ts.isPropertyAssignment(parent) && parent.name.getText() === 'description';
}

function untranslated(name: string, code: string): IFound[] {
  const kind = name.endsWith('x') ? ts.ScriptKind.TSX : ts.ScriptKind.TS;
  const file = ts.createSourceFile(name, code, ts.ScriptTarget.Latest, true, kind);
  const found: IFound[] = [];
  const note = (node: ts.Node, text: string) => {
    if (!SAME.test(text.trim())) {
      const { line } = file.getLineAndCharacterOfPosition(node.getStart());
      found.push({ where: `${name}:${line + 1}`, text: text.trim() });
    }
  };
  /** What an expression shows, if it is a literal or made of some. */
  const shown = (node: ts.Node | undefined): void => {
    if (!node) {
      return;
    }
    if (ts.isStringLiteralLike(node)) {
      note(node, node.text);
    } else if (ts.isTemplateExpression(node)) {
      [node.head, ...node.templateSpans.map(({ literal }) => literal)].forEach(part =>
        note(part, part.text.replace(/[^\p{L}]+/gu, ' '))
      );
    } else if (ts.isConditionalExpression(node)) {
      shown(node.whenTrue);
      shown(node.whenFalse);
    } else if (ts.isBinaryExpression(node)) {
      const { kind } = node.operatorToken;
      const comparing = kind >= ts.SyntaxKind.LessThanToken && kind <= ts.SyntaxKind.ExclamationEqualsEqualsToken;
      if (!comparing) {
        shown(node.left);
        shown(node.right);
      }
    } else if (ts.isArrayLiteralExpression(node)) {
      node.elements.forEach(shown);
    } else if (ts.isParenthesizedExpression(node) || ts.isJsxExpression(node)) {
      shown(node.expression);
    }
  };
  const look = (node: ts.Node): void => {
    if (ts.isJsxText(node)) {
      note(node, node.text);
    } else if (ts.isJsxExpression(node) && !ts.isJsxAttribute(node.parent)) {
      shown(node);
    } else if (ts.isJsxAttribute(node) && READ.test(node.name.getText())) {
      shown(node.initializer);
    } else if (ts.isPropertyAssignment(node) && READ.test(node.name.getText())) {
      shown(node.initializer);
    } else if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.EqualsToken) {
      if (ts.isPropertyAccessExpression(node.left) && READ.test(node.left.name.text)) {
        shown(node.right);
      }
    } else if (ts.isStringLiteralLike(node) && SENTENCE.test(node.text) && !told(node)) {
      note(node, node.text);
    } else if (ts.isCallExpression(node)) {
      const called = node.expression;
      const name = ts.isPropertyAccessExpression(called) ? called.name.text : called.getText();
      const given = [...node.arguments];
      if (name === 'setAttribute' && ts.isStringLiteral(given[0]) && READ.test(given[0].text)) {
        shown(given[1]);
      } else if (name === 'button') {
        shown(given[0]);
      } else if (SHOWS.has(name)) {
        given.slice(FIRST[name] ?? 0).forEach(shown);
      }
    }
    ts.forEachChild(node, look);
  };
  look(file);
  return found;
}

function files(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap(one => {
    const path = join(folder, one.name);
    return one.isDirectory() ? files(path) : /\.tsx?$/.test(one.name) ? [path] : [];
  });
}

describe('texts', () => {
  it('finds what is shown without a translator', () => {
    const code = `
      const a = <p title="A title">Words {wide ? 'more' : trans.__('less')}</p>;
      h('p', 'lk-Class', 'A line', \`\${count} parts\`);
      button('Press', 'lk-mod-small', go);
      node.textContent = 'Said';
      node.setAttribute('aria-label', 'Named');
      throw new Error('It broke once again.');
      h('p', 'lk-Class', trans.__('fine'), '✓', \`\${count} ms\`);
    `;
    const texts = untranslated('a.tsx', code).map(({ text }) => text);
    const wrong = ['A title', 'Words', 'more', 'A line', 'parts', 'Press', 'Said', 'Named', 'It broke once again.'];
    expect(texts.sort()).toEqual(wrong.sort());
  });

  it('go through the translator, all of them', () => {
    const all = files(SOURCES);
    expect(all.length).toBeGreaterThan(100);
    const found = all.flatMap(path => untranslated(path.slice(SOURCES.length + 1), readFileSync(path, 'utf-8')));
    expect(found).toEqual([]);
  });
});
