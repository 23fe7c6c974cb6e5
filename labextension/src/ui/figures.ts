// A saved run keeps pictures and tables once, in its HTML: here they find back to the calls they belong to.

import { isRecord } from './snapshot';

const PICTURE = /^data:(image\/[\w.+-]+);base64,([\w+/=\s]*)$/;

/** A saved snapshot with the displays that stand in `html` as `figure` elements. */
export function withFigures(snapshot: unknown, html: unknown): unknown {
  if (!isRecord(snapshot) || !Array.isArray(snapshot.items)) {
    return snapshot;
  }
  const pointing = (item: unknown) => isRecord(item) && typeof item.display === 'number';
  if (!snapshot.items.some(pointing)) {
    return snapshot;
  }
  const source = (Array.isArray(html) ? html : [html]).filter(part => typeof part === 'string');
  // A document made by the parser runs and loads nothing; what is in it is rebuilt where it is drawn.
  const saved = new DOMParser().parseFromString(source.join(''), 'text/html');
  const figures = Array.from(saved.querySelectorAll('figure')).filter(
    figure => !figure.parentElement?.closest('figure')
  );
  const items = snapshot.items.map(item =>
    pointing(item) ? { ...item, display: display(figures[item.display]) } : item
  );
  return { ...snapshot, items };
}

function display(figure: Element | undefined): Record<string, string> | null {
  const picture = figure?.querySelector(':scope > img:only-child');
  const found = PICTURE.exec(picture?.getAttribute('src') ?? '');
  if (!picture || !found) {
    return figure ? { 'text/html': figure.innerHTML } : null;
  }
  const [, mimeType, data] = found;
  const bytes = () => Uint8Array.from(atob(data), character => character.charCodeAt(0));
  return {
    [mimeType]: mimeType === 'image/svg+xml' ? new TextDecoder().decode(bytes()) : data,
    'text/plain': picture.getAttribute('alt') ?? ''
  };
}
