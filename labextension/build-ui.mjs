// Builds what widgets show (src/ui/widget.ts) into one module, which the Python package carries.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { rspack } from '@rspack/core';

const here = dirname(fileURLToPath(import.meta.url));
const style = ['ui.css', 'run.css', 'memory.css']
  .map(name => readFileSync(join(here, 'style', name), 'utf-8'))
  .join('\n');

const compiler = rspack({
  mode: 'production',
  context: here,
  target: ['web', 'es2022'],
  entry: './lib/ui/widget.js',
  devtool: false,
  output: {
    path: join(here, '..', 'letta_kernel', 'display', 'static'),
    filename: 'ui.js',
    module: true,
    library: { type: 'module' }
  },
  module: { rules: [{ test: /node_modules[\\/]marked[\\/]/, loader: join(here, 'only-lexer.js') }] },
  plugins: [new rspack.DefinePlugin({ STYLE: JSON.stringify(style) })],
  performance: { hints: false }
});

compiler.run((error, stats) => {
  if (error || stats.hasErrors()) {
    console.error(error ?? stats.toString({ all: false, errors: true }));
    process.exit(1);
  }
});
