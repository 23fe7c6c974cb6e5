import { withoutRemoteLoads } from '../src/quiet';

describe('withoutRemoteLoads', () => {
  it('makes a link of an image from elsewhere', () => {
    expect(withoutRemoteLoads('<p>See <img src="https://a.test/?secret=1" alt="this">.</p>')).toBe(
      '<p>See <a href="https://a.test/?secret=1">this</a>.</p>'
    );
    expect(withoutRemoteLoads('<img src="//a.test/x.png">')).toBe(
      '<a href="//a.test/x.png">//a.test/x.png</a>'
    );
  });

  it.each([
    '<img src="data:image/png;base64,AAAA">',
    '<img src="figures/plot.png" alt="plot">',
    '<img src="attachment:plot.png">',
    '<p>No image, <a href="https://a.test/">a link</a>.</p>',
    '<pre><code>a &lt; b</code></pre>'
  ])('leaves %p as it is', html => expect(withoutRemoteLoads(html)).toBe(html));

  it.each([
    ['<video src="https://a.test/x"></video>', '<video></video>'],
    ['<video poster="https://a.test/x"></video>', '<video></video>'],
    ['<audio><source src="https://a.test/x"></audio>', '<audio><source></audio>'],
    ['<img src="a.png" srcset="b.png 1x, https://a.test/x 2x">', '<a href="a.png">a.png</a>'],
    ['<img src="http://[">', '<a href="http://[">http://[</a>']
  ])('takes the address out of %p', (html, quiet) => expect(withoutRemoteLoads(html)).toBe(quiet));
});
