// Agent cells are edited as prose: Markdown below the first line, wrapped, spell-checked, no help with code.

import { Language, LanguageSupport } from '@codemirror/language';
import { EditorState, Prec, StateField, type Extension } from '@codemirror/state';
import { Decoration, EditorView, type DecorationSet } from '@codemirror/view';
import {
  EditorExtensionRegistry,
  type IEditorExtensionFactory,
  type IEditorLanguage,
  type IEditorLanguageRegistry
} from '@jupyterlab/codemirror';

import { isAgentCell } from './firstline';

/** The MIME type of an agent cell's source. */
export const AGENT_CELL_MIME = 'text/x-letta-agent';

const MARKDOWN_MIME = 'text/x-ipythongfm';

/** The part of Markdown's parser used here; JupyterLab has the parser, this extension does not bring it. */
interface IConfigurableParser {
  configure(extension: unknown): Language['parser'];
}

interface IBlockContext {
  readonly lineStart: number;
  nextLine(): boolean;
  elt(type: string, from: number, to: number): unknown;
  addElement(element: unknown): void;
}

/** Keeps the first line out of what Markdown makes of the lines below it. */
const FIRST_LINE = {
  defineNodes: [{ name: 'AgentLine', block: true }],
  parseBlock: [
    {
      name: 'AgentLine',
      before: 'IndentedCode',
      parse(context: IBlockContext, line: { text: string }): boolean {
        if (context.lineStart !== 0 || !isAgentCell(line.text)) {
          return false;
        }
        context.addElement(context.elt('AgentLine', 0, line.text.length));
        context.nextLine();
        return true;
      }
    }
  ]
};

/** The language of agent cells: JupyterLab's own Markdown below a line of ours. */
export function agentCellLanguage(
  languages: IEditorLanguageRegistry,
  displayName: string
): IEditorLanguage {
  return {
    name: 'letta-agent',
    displayName,
    mime: AGENT_CELL_MIME,
    load: async () => {
      const markdown = (await languages.getLanguage(MARKDOWN_MIME))?.support;
      if (!markdown) {
        throw new Error(`no language ${MARKDOWN_MIME}`);
      }
      const { parser, data } = markdown.language;
      const own = (parser as unknown as IConfigurableParser).configure(FIRST_LINE);
      return new LanguageSupport(new Language(data, own, [], 'letta-agent'), markdown.support);
    }
  };
}

const isProse = StateField.define<boolean>({
  create: state => isAgentCell(state.doc.line(1).text),
  update: (before, change) =>
    change.docChanged ? isAgentCell(change.newDoc.line(1).text) : before
});

const FIRST_LINE_LOOK = Decoration.line({ class: 'lk-AgentLine' });

/** Words go the way of their script, line by line. */
const LINE_LOOK = Decoration.line({ attributes: { dir: 'auto' } });

/** Of a longer text the rest is left as it is: this is done at every key. */
const MOST_LINES = 1000;

function lineLooks({ doc }: EditorState): DecorationSet {
  const looks = [FIRST_LINE_LOOK.range(0)];
  for (let line = 2; line <= Math.min(doc.lines, MOST_LINES); line++) {
    looks.push(LINE_LOOK.range(doc.line(line).from));
  }
  return Decoration.set(looks);
}

/** What an editor shows differently while its first line says that it is a message. */
export function prose(label: string): Extension {
  const attributes = {
    class: 'cm-lineWrapping lk-Prose',
    spellcheck: 'true',
    autocorrect: 'on',
    autocapitalize: 'sentences',
    writingsuggestions: 'true',
    'aria-label': label
  };
  return [
    isProse,
    EditorView.decorations.compute([isProse, 'doc'], state =>
      state.field(isProse) ? lineLooks(state) : Decoration.none
    ),
    EditorView.perLineTextDirection.compute([isProse], state => state.field(isProse)),
    Prec.highest([
      EditorView.contentAttributes.compute([isProse], state =>
        state.field(isProse) ? attributes : {}
      ),
      EditorState.languageData.of(state =>
        state.field(isProse) ? [{ closeBrackets: { brackets: [] } }] : []
      )
    ])
  ];
}

/** Gives `prose` to the editors of code cells. */
export function proseExtension(label: string): IEditorExtensionFactory<undefined> {
  return {
    name: 'letta-kernel:prose',
    factory: ({ model }) =>
      'type' in model && model.type === 'code'
        ? EditorExtensionRegistry.createImmutableExtension(prose(label))
        : null
  };
}
