// A loader: of the Markdown parser only what makes tokens, since nothing here turns them into HTML text.

const FRONT = /;var \w+=new \w+;function \w+\(\w+,\w+\)\{return \w+\.parse[^]*?;export\{/;

module.exports = source => {
  if (!FRONT.test(source)) {
    throw new Error('marked is built in another way now: look at only-lexer.js');
  }
  const names = source.slice(source.lastIndexOf('export{'));
  const kept = ['Lexer', 'Tokenizer'].map(name => new RegExp(`[\\w$]+ as ${name}\\b`).exec(names)[0]);
  return source.slice(0, source.search(FRONT)) + `;export{${kept}};`;
};
