// Images that a message names, where it goes to the Jupyter server.

import { imagesIn } from '../../src/bridge/images';

describe('imagesIn', () => {
  it('reads each image that is named once, and leaves other names alone', async () => {
    const asked: string[] = [];
    const contents = {
      get: async (path: string) => {
        asked.push(path);
        if (path.includes('gone')) {
          throw new Error('404');
        }
        return { content: 'AA\nBB' } as never;
      }
    };
    const text =
      'Is @photo.png like @"my pictures/two words.JPG"? Not @photo.png, @gone.gif, @data.csv, me@home.png or @x.pngs.';
    expect(await imagesIn(text, contents, 'studies')).toEqual([
      'data:image;base64,AABB',
      'data:image;base64,AABB'
    ]);
    expect(asked).toEqual(['studies/photo.png', 'studies/my pictures/two words.JPG', 'studies/gone.gif']);
    expect(await imagesIn('Hello', contents, '')).toEqual([]);
  });
});
