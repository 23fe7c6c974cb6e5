// What a field offers to choose from, beside it: a list that leaves the focus where it is.

import * as React from 'react';

export interface IOption {
  name: string;
  about?: string;
}

export interface IOptionsProps {
  /** Of the list; the options' are numbered after it. */
  id: string;
  label: string;
  options: readonly IOption[];
  /** The place of the one that is meant now. */
  at: number;
  onUse: (name: string) => void;
}

export function Options({ id, label, options, at, onUse }: IOptionsProps): JSX.Element {
  const list = React.useRef<HTMLUListElement>(null);
  React.useEffect(() => {
    list.current?.children[at]?.scrollIntoView({ block: 'nearest' });
  }, [at, options]);
  return (
    <ul ref={list} id={id} role="listbox" aria-label={label}>
      {options.map(({ name, about }, index) => (
        <li
          key={name}
          id={`${id}-${index}`}
          role="option"
          aria-selected={index === at}
          // Not a click: the field would lose the focus before, and a popup around this be gone.
          onMouseDown={event => {
            event.preventDefault();
            onUse(name);
          }}
        >
          {name} {about && <span className="lk-muted lk-Small">{about}</span>}
        </li>
      ))}
    </ul>
  );
}
