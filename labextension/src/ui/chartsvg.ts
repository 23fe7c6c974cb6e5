// Nodes of what plots draw.

const SVG = 'http://www.w3.org/2000/svg';

/** Make an element of a drawing. */
export function svg(tag: string, given: Record<string, string>): SVGElement {
  return mark(document.createElementNS(SVG, tag), given);
}

/** Give an element attributes. */
export function mark<E extends Element>(element: E, given: Record<string, string>): E {
  for (const [name, value] of Object.entries(given)) {
    element.setAttribute(name, value);
  }
  return element;
}
