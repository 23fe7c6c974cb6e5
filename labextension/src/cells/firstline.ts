// The first line of an agent cell: `%%agent NAME --model MODEL …`, read and rewritten as the kernel reads it.

/** What an agent cell says on its first line; empty where it leaves the choice to the notebook. */
export interface IFirstLine {
  readonly agent: string;
  readonly model: string;
}

interface IWord {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly quoted: boolean;
}

const MAGIC = '%%agent';

/** Options whose value may stand behind them as a word of its own. */
const TAKE_A_WORD = ['--model', '--max-steps'];

/** Options whose value is all that stands behind them, up to the next option. */
const TAKE_THE_REST = ['--as'];

/** Whether a cell's source is a message to an agent. */
export function isAgentCell(source: string): boolean {
  return /^%%agent(?=\s|$)/.test(source);
}

/** Read the first line of a cell; null if it is no agent cell. */
export function readFirstLine(source: string): IFirstLine | null {
  if (!isAgentCell(source)) {
    return null;
  }
  const parts = dissect(firstLine(source));
  return { agent: parts.agent?.text ?? '', model: parts.model?.text ?? '' };
}

/** The source with another agent named on its first line; the empty name names none. */
export function withAgent(source: string, agent: string): string {
  const line = firstLine(source);
  const { agent: old } = dissect(line);
  const at = old ?? { start: MAGIC.length, end: MAGIC.length };
  return splice(source, at.start, at.end, agent && quoted(agent));
}

/** The source with another model for its message; the empty name leaves it to the agent. */
export function withModel(source: string, model: string): string {
  const line = firstLine(source);
  const { option } = dissect(line);
  const at = option ?? { start: line.trimEnd().length, end: line.trimEnd().length };
  return splice(source, at.start, at.end, model && `--model ${quoted(model)}`);
}

/** The source of a new agent cell. */
export function agentCell(agent = '', model = '', text = ''): string {
  return withModel(withAgent(`${MAGIC}\n${text}`, agent), model);
}

function firstLine(source: string): string {
  return source.split('\n', 1)[0];
}

/** Put a word in place of part of the first line, one blank on either side of it. */
function splice(source: string, start: number, end: number, word: string): string {
  const line = firstLine(source);
  const pieces = [line.slice(0, start).trimEnd(), word, line.slice(end).trim()];
  return pieces.filter(piece => piece !== '').join(' ') + source.slice(line.length);
}

/** Where the agent's name and the model stand in a line; `option` spans `--model MODEL` as a whole. */
function dissect(line: string): { agent?: IWord; model?: IWord; option?: IWord } {
  const words = split(line.slice(MAGIC.length)).map(word => ({
    ...word,
    start: word.start + MAGIC.length,
    end: word.end + MAGIC.length
  }));
  const found: { agent?: IWord; model?: IWord; option?: IWord } = {};
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (!isOption(word)) {
      if (word.text !== '--' || word.quoted) {
        found.agent ??= word;
      }
      continue;
    }
    const equals = word.text.indexOf('=');
    const name = equals < 0 ? word.text : word.text.slice(0, equals);
    const value = words[at + 1];
    const apart = equals < 0 && TAKE_A_WORD.includes(name) && value !== undefined;
    if (name === '--model') {
      const text = equals < 0 ? (apart ? value.text : '') : word.text.slice(equals + 1);
      found.option = { ...word, end: apart ? value.end : word.end };
      found.model = { ...found.option, text };
    }
    at += apart ? 1 : 0;
    while (TAKE_THE_REST.includes(name) && at + 1 < words.length && !isOption(words[at + 1])) {
      at++;
    }
  }
  return found;
}

function isOption(word: IWord): boolean {
  return !word.quoted && /^--[A-Za-z]/.test(word.text);
}

/** Split a line into words: a quote opens at the start of a word only and closes before a blank only. */
function split(line: string): IWord[] {
  const words: IWord[] = [];
  let at = 0;
  while (at < line.length) {
    if (/\s/.test(line[at])) {
      at++;
      continue;
    }
    let found = quotedWord(line, at);
    let end = at;
    while (found === null && end < line.length && !/\s/.test(line[end])) {
      end++;
      if (line.startsWith('--', at) && line[end - 1] === '=') {
        const inner = quotedWord(line, end);
        found = inner && { ...inner, text: line.slice(at, end) + inner.text, start: at, quoted: false };
      }
    }
    found ??= { text: line.slice(at, end), start: at, end, quoted: false };
    words.push(found);
    at = found.end;
  }
  return words;
}

function quotedWord(line: string, at: number): IWord | null {
  const quote = line[at];
  if (quote !== '"' && quote !== "'") {
    return null;
  }
  for (let end = at + 1; end < line.length; end++) {
    if (line[end] === '\\' && (line[end + 1] === quote || line[end + 1] === '\\')) {
      end++;
    } else if (line[end] === quote && (end + 1 === line.length || /\s/.test(line[end + 1]))) {
      const text = line.slice(at + 1, end).replaceAll('\\' + quote, quote);
      return { text, start: at, end: end + 1, quoted: true };
    }
  }
  return null;
}

/** A name as one word of the line; line breaks cannot be part of it. */
function quoted(name: string): string {
  const word = name.replace(/\s+/g, ' ').trim();
  return /^[^\s'"-][^\s]*$/.test(word) ? word : `"${word.replaceAll('"', '\\"')}"`;
}
