// Written by labextension/generate.py from letta_kernel/display/clean.py and markdown.py.

/** Where links may lead. */
export const LINK = new RegExp('^(?:http://|https://|mailto:)[^\\s"<>`\\\\]+$', 'i');

/** Commands of TeX that link, restyle or redefine things, or loop. */
export const UNSAFE_TEX = new RegExp(
  '\\\\(?:href|url|style|class|cssId|html(?:Class|Id|Style|Data)|data|includegraphics|require|unicode|[gex]?def|let|futurelet|(?:re|provide)?newcommand|newenvironment|DeclareMathOperator|begingroup|input|include|special|write|openout|catcode|csname|texttip|mathtip|toggle|action|bbox|mmlToken|rule|[hvm]?kern|[hv]space|[hv]skip|raise|lower|move\\w*|label|ref|eqref|[f]?color(?:box)?|definecolor)(?![a-z])',
  'i'
);

/** What formulas stand between. */
export const DELIMITERS = [['$$', '$$'], ['\\[', '\\]'], ['\\(', '\\)'], ['$', '$']] as const;

/** Elements that rich results may keep. */
export const KEPT_ELEMENTS = new Set(
  'b i em strong code pre kbd samp var span div p ul ol li dl dt dd h1 h2 h3 h4 h5 h6 sub sup small u s blockquote caption thead tbody tfoot tr th td table mark figure figcaption details summary br hr a img'.split(' ')
);

/** Elements that go with all that is in them; others that are not kept leave what is in them. */
export const DROPPED_ELEMENTS = new Set(
  'script style title template noscript iframe object svg math textarea select head noembed noframes xmp plaintext audio video canvas'.split(' ')
);

/** Elements that may be open at once, those of them that format, characters of a tag. */
export const MOST_OPEN = 100;
export const MOST_FORMATTING = 12;
export const LONGEST_TAG = 4000;

/** Elements that are never left open by one of their own kind, or hold nothing. */
export const CLOSED_BY_THEMSELVES = new Set(
  'li p td th tr dt dd thead tbody tfoot caption br hr img wbr input col'.split(' ')
);

/** Elements that are opened again by themselves in each block, until they are closed. */
export const FORMATTING = new Set(
  'a b big code em font i nobr s small strike strong tt u'.split(' ')
);
