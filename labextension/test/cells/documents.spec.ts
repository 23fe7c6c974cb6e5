import { copiedText, documentText } from '../../src/cells/documents';

const BASE = 'http://127.0.0.1/lab/extensions/letta-kernel/documents/';

describe('the documentation', () => {
  it('shows its pictures from where they were installed, in the form for the theme', () => {
    const text = `<picture>
  <source media="(prefers-color-scheme: dark)" srcset="docs/pictures/moving-dark.svg">
  <img alt="A run" src="docs/pictures/moving.svg" width="720">
</picture>
![Milliseconds](docs/pictures/step.png)
<img src="https://example.org/x.png">`;
    const light = documentText(text, BASE, true);
    expect(light).toContain(`<img alt="A run" src="${BASE}docs/pictures/moving.svg" width="720">`);
    expect(light).toContain(`![Milliseconds](${BASE}docs/pictures/step.png)`);
    expect(light).toContain('<img src="https://example.org/x.png">');
    const dark = documentText(text, BASE, false);
    expect(dark).toContain(`src="${BASE}docs/pictures/moving-dark.svg"`);
    expect(dark).not.toContain('moving.svg"');
  });

  it('has no link that leads nowhere', () => {
    const text = '[a notebook](notebooks/anywhere.ipynb), [home](https://example.org) [x](#y)';
    const expected = 'a notebook, [home](https://example.org) [x](#y)';
    expect(documentText(text, BASE, true)).toBe(expected);
  });
});

describe('the copy of the quickstart', () => {
  it('has its picture within it, and no link to what is not beside it', () => {
    const drawn = '<svg viewBox="0 0 1 1"><path transform="scale(2)"/>…</svg>';
    const text =
      '![An agent](pictures/quickstart.svg)\n[next](02-steps.ipynb), [home](https://example.org)';
    const copied = copiedText(text, drawn);
    const address = /^!\[An agent\]\(data:image\/svg\+xml,([^()\s]*)\)\n/.exec(copied);
    expect(decodeURIComponent(address?.[1] ?? '')).toBe(drawn);
    expect(copied).toContain('\nnext, [home](https://example.org)');
  });
});
