// What the builder's own configuration leaves out: shorter names of private members and of what makes elements,
// and style sheets without comments and blanks.

const { rspack } = require('@rspack/core');

module.exports = {
  module: {
    rules: [
      {
        test: /lib[\\/]panel[\\/](?!element).*\.js$/,
        enforce: 'pre',
        loader: require.resolve('./short-elements.js')
      },
      { test: /node_modules[\\/]marked[\\/]/, enforce: 'pre', loader: require.resolve('./only-lexer.js') },
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
        minimizerOptions: {
          compress: { ecma: 2020, passes: 3 },
          mangle: { props: { regex: '^_[a-z][A-Za-z]+$' } }
        }
      })
    ]
  }
};
