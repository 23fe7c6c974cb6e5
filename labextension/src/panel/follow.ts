// Keeps the newest message of the chat in view, as long as nobody has scrolled away from it.

import * as React from 'react';

/** How far below the edge the end may be and still count as seen, in pixels. */
const NEAR = 24;

/**
 * A ref for what grows at its end; it scrolls in the panel, together with all else.
 *
 * Its end is followed until a person scrolls away, and again when they scroll back or when `said` changes:
 * they have just said something. Heights may change for any reason (a new message, another theme, a wider
 * panel): scrolling that comes of it is no person's.
 */
export function useFollowedEnd(said: unknown): React.RefObject<HTMLDivElement> {
  const node = React.useRef<HTMLDivElement>(null);
  const follows = React.useRef(true);
  const follow = React.useRef<() => void>(() => undefined);
  React.useLayoutEffect(() => {
    const host = node.current;
    const scroller = host?.closest<HTMLElement>('.lk-Panel-body');
    const content = scroller?.firstElementChild;
    const part = host?.parentElement; // with the box to write in
    if (!scroller || !content || !part) {
      return undefined;
    }
    let known = '';
    const size = () => `${scroller.scrollHeight} ${scroller.clientHeight} ${scroller.clientWidth}`;
    const below = () => part.getBoundingClientRect().bottom - scroller.getBoundingClientRect().bottom;
    follow.current = () => {
      known = size();
      if (follows.current && below() > 0) {
        scroller.scrollTop += below();
      }
    };
    const onScroll = () => {
      if (size() === known) {
        const passed = part.getBoundingClientRect().bottom < scroller.getBoundingClientRect().top;
        follows.current = below() < NEAR && !passed;
      } else {
        follow.current();
      }
    };
    follow.current();
    const watch = new ResizeObserver(() => follow.current());
    watch.observe(scroller);
    watch.observe(content);
    scroller.addEventListener('scroll', onScroll);
    return () => {
      watch.disconnect();
      scroller.removeEventListener('scroll', onScroll);
    };
  }, []);
  React.useLayoutEffect(() => {
    if (said !== null) {
      follows.current = true;
    }
    follow.current();
  }, [said]);
  return node;
}
