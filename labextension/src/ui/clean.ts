// Makes texts of models and tools harmless to read, as `letta_kernel/display/clean.py` does: no terminal
// sequences, nothing invisible that changes what is read.

/* eslint-disable no-control-regex */
const ANSI =
  /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]/gu;
/**
 * Control characters but tab and newline; bidirectional overrides and isolates; separators; marks of
 * interlinear text; the byte order mark; invisible tag characters.
 */
const CONTROL =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ufeff\u{e0000}-\u{e007f}]/gu;
const SURROGATE = /\p{Surrogate}/gu;
const COMBINING = '[\\u0300-\\u036f\\u0483-\\u0489\\u1ab0-\\u1aff\\u1dc0-\\u1dff\\u20d0-\\u20ff\\ufe20-\\ufe2f]';
const STACKED = new RegExp(`(${COMBINING}{4})${COMBINING}+`, 'gu');
const PLAIN = /^[\t\n -~]*$/;

/** A text without tricks, and its middle left out where it has more characters than `limit`. */
export function cleanText(given: unknown, limit?: number): string {
  let text = typeof given === 'string' ? given : String(given);
  if (limit !== undefined && text.length > limit) {
    text = shorten(text, limit);
  }
  if (PLAIN.test(text)) {
    return text;
  }
  text = text.replace(ANSI, '');
  if (text.includes('\r')) {
    // As a terminal does it: the line is written anew.
    const lines = text.replace(/\r\n/g, '\n').split('\n');
    text = lines.map(line => line.replace(/\r+$/, '').split('\r').at(-1)).join('\n');
  }
  return text.replace(CONTROL, '').replace(SURROGATE, '\ufffd').replace(STACKED, '$1');
}

/** Code as it will be run, with a name for every character in it that could hide some of it. */
export function revealed(code: string): string {
  return code.replace(CONTROL, character => {
    const number = character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0');
    return `⟨U+${number}⟩`;
  });
}

/** The beginning of a text, a note of what is left out, and its end; as long as the text is too long. */
function shorten(text: string, limit: number): string {
  const characters = Array.from(text);
  if (characters.length <= limit) {
    return text;
  }
  const tail = Math.floor(limit / 5);
  const left = (characters.length - limit).toLocaleString('en-US');
  const end = tail ? characters.slice(-tail).join('') : '';
  return `${characters.slice(0, limit - tail).join('')}\n… ${left} characters left out …\n${end}`;
}

/** A text on one line, cut at a whole character. */
export function oneLine(given: unknown, limit = 120): string {
  const text = typeof given === 'string' ? given : String(given);
  const line = cleanText(text.slice(0, limit * 8)).replace(/\s+/g, ' ').trim();
  const characters = Array.from(line);
  return characters.length <= limit && text.length <= limit * 8
    ? line
    : characters.slice(0, limit - 1).join('') + '…';
}

const THUMBNAIL = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;
const LONGEST_THUMBNAIL = 40_000;

/** The data URL of a small picture, or nothing if it is none. */
export function cleanThumbnail(src: unknown): string {
  const fits = typeof src === 'string' && src.length <= LONGEST_THUMBNAIL && THUMBNAIL.test(src);
  return fits ? src : '';
}
