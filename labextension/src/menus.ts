// Menus below buttons.

import type { Menu } from '@lumino/widgets';

/** Open a menu below an element; whatever has the focus now has it again when the menu closes. */
export function openBelow(menu: Menu, anchor: HTMLElement): void {
  const { left, bottom } = anchor.getBoundingClientRect();
  const before = document.activeElement;
  const back = () => {
    menu.aboutToClose.disconnect(back);
    if (menu.node.contains(document.activeElement)) {
      (before instanceof HTMLElement && before !== document.body ? before : anchor).focus();
    }
  };
  menu.aboutToClose.connect(back);
  menu.open(left, bottom);
}
