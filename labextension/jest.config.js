// JupyterLab's own set-up for unit tests. Its packages, and some they use, are ES modules, which Jest
// has to have translated.

const jupyterlab = require('@jupyterlab/testing/lib/jest-config');

const modules = [
  '@codemirror',
  '@jupyter',
  '@jupyterlab',
  '@marijn',
  '@microsoft',
  '@rjsf',
  'color',
  'exenv-es6',
  'lib0',
  'marked',
  'nanoid',
  'vscode-ws-jsonrpc',
  'y-protocols',
  'y-websocket',
  'yjs'
].join('|');

module.exports = {
  ...jupyterlab(__dirname),
  reporters: ['default'],
  transformIgnorePatterns: [`/node_modules/(?!(${modules})/).+`]
};
