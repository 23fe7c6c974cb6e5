// Builds DOM nodes. Text only ever becomes a text node here: nothing in this extension parses markup.

export type Child = Node | string | null | undefined | false;

/** Make an element with a class and children; strings become text nodes, empty children are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false && child !== '') {
      element.append(child);
    }
  }
  return element;
}

/**
 * Make a fold. `part` names it within its entry, so that a person's opening it survives a redraw.
 */
export function fold(
  part: string,
  className: string,
  summary: Child[],
  inside: Child[],
  open = false
): HTMLDetailsElement {
  const details = h('details', className, h('summary', '', ...summary), ...inside);
  details.dataset.part = part;
  details.open = open;
  return details;
}

/** Say what an element is, and how it is called. */
export function named<E extends Element>(element: E, role: string, label: string): E {
  element.setAttribute('role', role);
  element.setAttribute('aria-label', label);
  return element;
}
