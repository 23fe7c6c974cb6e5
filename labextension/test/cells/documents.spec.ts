import { documentText } from '../../src/cells/documents';

const BASE = 'http://127.0.0.1/lab/extensions/letta-kernel/documents/';

describe('the documentation', () => {
  it('shows its pictures from where they were installed, in the form for the theme', () => {
    const text = `<picture>
  <source media="(prefers-color-scheme: dark)" srcset="notebooks/pictures/run-dark.png">
  <img alt="A run" src="notebooks/pictures/run.png" width="720">
</picture>
![Milliseconds](notebooks/pictures/step.png)
<img src="https://example.org/x.png">`;
    const light = documentText(text, BASE, true);
    expect(light).toContain(`<img alt="A run" src="${BASE}notebooks/pictures/run.png" width="720">`);
    expect(light).toContain(`![Milliseconds](${BASE}notebooks/pictures/step.png)`);
    expect(light).toContain('<img src="https://example.org/x.png">');
    const dark = documentText(text, BASE, false);
    expect(dark).toContain(`src="${BASE}notebooks/pictures/run-dark.png"`);
    expect(dark).not.toContain('run.png"');
  });

  it('has no link that leads nowhere', () => {
    const text = '[the quickstart](notebooks/quickstart.ipynb), [home](https://example.org) [x](#y)';
    const expected = 'the quickstart, [home](https://example.org) [x](#y)';
    expect(documentText(text, BASE, true)).toBe(expected);
  });
});
