// What may be named in a message: offered while a person writes the name.

import * as React from 'react';

import type { Ask } from './model/records';
import { Options, type IOption } from './options';
import { usePanel } from './ui';

const BEGUN = /(?<![\w@./\\:+-])@("[^"\n]*|[\w~./:+-]*)$/;
const SHOWN = 30;

export interface IMentions {
  /** With their @. */
  readonly names: readonly IOption[];
  /** The place of the one that is meant now. */
  readonly at: number;
  readonly id: string;
  /** The text before the cursor has changed. */
  look(before: string): void;
  close(): void;
  /** Whether a key was meant for the names. */
  take(key: string): boolean;
  use(name: string): void;
}

/**
 * Names that fit what stands before the cursor.
 *
 * @param put - Replace so many characters before the cursor.
 */
export function useMentions(put: (count: number, text: string) => void): IMentions {
  const { model } = usePanel();
  const [names, setNames] = React.useState<readonly IOption[]>([]);
  const [at, setAt] = React.useState(0);
  const begun = React.useRef('');
  const id = React.useId();
  const look = (before: string) => {
    const prefix = BEGUN.exec(before)?.[0] ?? '';
    begun.current = prefix;
    if (!prefix) {
      setNames([]);
      return;
    }
    // What was offered for fewer letters may be chosen meanwhile only where it still fits.
    const typed = prefix.toLowerCase();
    setNames(offered => offered.filter(one => one.name.toLowerCase().startsWith(typed)));
    setAt(0);
    const ask: Ask = (method, params) => model.bridge.request(method, params);
    // Without a kernel nothing is offered; what is written may still be a name.
    void ask<IOption[]>('mentions', { prefix }).catch(() => []).then(found => {
      if (begun.current === prefix) {
        setNames(found.slice(0, SHOWN));
        setAt(0);
      }
    });
  };
  const close = () => {
    begun.current = '';
    setNames([]);
  };
  const use = (name: string) => {
    const folder = name.endsWith('/');
    put(begun.current.length, folder ? name : `${name} `);
    close();
  };
  const take = (key: string) => {
    if (!names.length) {
      return false;
    }
    if (key === 'ArrowDown' || key === 'ArrowUp') {
      const step = key === 'ArrowDown' ? 1 : -1;
      setAt((at + step + names.length) % names.length);
    } else if (key === 'Enter' || key === 'Tab') {
      use(names[at].name);
    } else if (key === 'Escape') {
      close();
    } else {
      return false;
    }
    return true;
  };
  return { names, at, id, look, close, take, use };
}

export function Mentions({ mentions }: { mentions: IMentions }): JSX.Element | null {
  const { trans } = usePanel();
  const { names, at, id, use } = mentions;
  return names.length ? (
    <div className="lk-Popup lk-mod-above">
      <Options id={id} label={trans.__('Names')} options={names} at={at} onUse={use} />
    </div>
  ) : null;
}
