// A loader: what makes React's elements is one name in the whole build, which the minimiser makes a letter.

const { join } = require('node:path');

const MAKES = 'React.createElement(';
const FROM = JSON.stringify(join(__dirname, 'lib', 'panel', 'element.js'));

module.exports = source =>
  source.includes(MAKES)
    ? `import { createElement } from ${FROM};\n${source.replaceAll(MAKES, 'createElement(')}`
    : source;
