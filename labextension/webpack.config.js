// What the builder's own configuration leaves out: shorter names of private members, and style sheets without
// comments and blanks.

const { rspack } = require('@rspack/core');

module.exports = {
  module: {
    rules: [
      {
        test: /\.css$/,
        enforce: 'pre',
        loader: 'builtin:lightningcss-loader',
        options: { minify: true }
      }
    ]
  },
  optimization: {
    minimizer: [
      new rspack.SwcJsMinimizerRspackPlugin({
        minimizerOptions: { mangle: { props: { regex: '^_[a-z][A-Za-z]+$' } } }
      })
    ]
  }
};
