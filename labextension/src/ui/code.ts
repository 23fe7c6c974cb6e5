// The buttons of a block of code in an answer: copy it, and put it into cells where there is a notebook.

import { h, named } from './dom';
import { keepKeys } from './keys';
import { thePage } from './page';
import type { Trans } from './words';

const COPIED = 2000; // milliseconds for which it is said that something was copied

/** Put a frame with buttons around a block of code. */
export function withTools(block: HTMLElement, trans: Trans): HTMLElement {
  const code = block.textContent ?? '';
  const language = block.querySelector<HTMLElement>('code')?.dataset.language ?? '';
  const tools = h('div', 'lk-Code-tools');
  named(tools, 'group', trans.__('Code'));
  const said = h('span', 'lk-spoken');
  said.setAttribute('role', 'status');
  const copy = tool(trans.__('Copy'), trans.__('Copy this code'), () => {
    void copied(code).then(done => {
      copy.textContent = said.textContent = done ? trans.__('Copied') : trans.__('Not copied');
      setTimeout(() => {
        copy.textContent = trans.__('Copy');
        said.textContent = '';
      }, COPIED);
    });
  });
  const frame = h('div', 'lk-Code', block, tools);
  // What can be done with it depends on the notebook, its kernel and its selected cell of the moment.
  let offered: [string, string, ((text: string) => void) | null][] = [];
  const look = () => {
    const place = thePage()?.place(frame, language) ?? null;
    const others: [string, string, ((text: string) => void) | null][] = place
      ? [
          [trans.__('Insert below'), trans.__('Put this code into a new cell below'), place.insert],
          [trans.__('Replace'), trans.__('Put this code into %1', place.replaces), place.replace],
          [trans.__('Run'), trans.__('Put this code into a new cell below and run it'), place.run]
        ]
      : [];
    offered = others.filter(([, , act]) => act);
    const now = Array.from(tools.querySelectorAll('button')).slice(1);
    if (now.map(one => one.textContent).join('\n') === offered.map(([text]) => text).join('\n')) {
      now.forEach((one, index) => (one.title = offered[index][1])); // the one that is being pressed stays
      return;
    }
    now.forEach(one => one.remove());
    said.before(...offered.map(([text, title], index) => tool(text, title, () => offered[index][2]?.(code))));
  };
  tools.append(copy, said);
  frame.addEventListener('pointerenter', look);
  frame.addEventListener('focusin', look);
  keepKeys(tools);
  return frame;
}

function tool(text: string, title: string, act: () => void): HTMLButtonElement {
  const made = h('button', 'lk-Code-tool', text);
  made.type = 'button';
  made.title = title;
  made.addEventListener('click', act);
  return made;
}

/** Put a text on the clipboard, also in pages that are not trusted with it, as over plain HTTP. */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const held = h('textarea', 'lk-spoken');
    held.value = text;
    document.body.append(held);
    const before = document.activeElement;
    held.select();
    const done = document.execCommand?.('copy') ?? false;
    held.remove();
    if (before instanceof HTMLElement) {
      before.focus({ preventScroll: true });
    }
    return done;
  }
}
