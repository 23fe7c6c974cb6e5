import { ensureSyntaxTree } from '@codemirror/language';
import { EditorState } from '@codemirror/state';
import { EditorView } from '@codemirror/view';
import { markdown, markdownLanguage } from '@codemirror/lang-markdown';
import { EditorLanguageRegistry } from '@jupyterlab/codemirror';

import { agentCellLanguage, AGENT_CELL_MIME, prose } from '../../src/cells/prose';

function view(doc: string): EditorView {
  const state = EditorState.create({ doc, extensions: [prose('Message')] });
  return new EditorView({ state, parent: document.body });
}

test('an editor is one for prose while its first line says so', () => {
  const editor = view('%%agent ada\nHello');
  const content = editor.contentDOM;
  const firstLine = () => editor.dom.querySelector('.cm-line')?.classList.contains('lk-AgentLine');
  expect(content.getAttribute('spellcheck')).toBe('true');
  expect(content.classList.contains('cm-lineWrapping')).toBe(true);
  expect(firstLine()).toBe(true);
  expect(editor.state.languageDataAt('closeBrackets', 14)[0]).toEqual({ brackets: [] });
  editor.dispatch({ changes: { from: 0, to: 2 } });
  expect(content.getAttribute('spellcheck')).toBe('false');
  expect(content.classList.contains('cm-lineWrapping')).toBe(false);
  expect(firstLine()).toBe(false);
  expect(editor.state.languageDataAt('closeBrackets', 12)).toEqual([]);
  editor.dispatch({ changes: { from: 0, insert: '%%' } });
  expect(content.getAttribute('spellcheck')).toBe('true');
  editor.destroy();
});

test('Markdown begins below the first line', async () => {
  const languages = new EditorLanguageRegistry();
  languages.addLanguage({
    name: 'ipythongfm',
    mime: 'text/x-ipythongfm',
    load: async () => markdown({ base: markdownLanguage }) as any
  });
  languages.addLanguage(agentCellLanguage(languages, 'Message'));
  const support = (await languages.getLanguage(AGENT_CELL_MIME))?.support;
  const names = (doc: string) => {
    const state = EditorState.create({ doc, extensions: [support!] });
    const found: string[] = [];
    // The tree of an editor is what could be read in some milliseconds.
    ensureSyntaxTree(state, doc.length, 60_000)!.iterate({ enter: node => void found.push(`${node.name}@${node.from}`) });
    return found;
  };
  // An underlined heading would take the first line with it.
  expect(names('%%agent *ada*\n---\n# Go')).toEqual([
    ...['Document@0', 'AgentLine@0', 'HorizontalRule@14', 'ATXHeading1@18', 'HeaderMark@18']
  ]);
  expect(names('*now*')).toContain('Emphasis@0');
  expect(names('*%%agent*\n%%agent')).not.toContain('AgentLine@0');
});
