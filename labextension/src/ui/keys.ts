// Keys that a notebook must not take.

/** Keys pressed in an element are no shortcuts of a notebook, whose fields also take new lines. */
export function keepKeys(node: HTMLElement): void {
  node.dataset.lmSuppressShortcuts = 'true';
  const keep = (event: InputEvent) => {
    if (event.inputType === 'insertLineBreak') {
      event.stopPropagation();
    }
  };
  node.addEventListener('beforeinput', keep, true);
}
