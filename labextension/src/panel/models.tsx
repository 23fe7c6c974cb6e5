// Which model answers: chosen from those that can be used, with a search; any other can be written.

import * as React from 'react';

import type { IAgent, IModelInfo } from './model/records';
import { Options } from './options';
import { usePanel } from './ui';

const SHOWN = 50;

export function ModelPicker({ agent }: { agent: IAgent }): JSX.Element {
  const { trans } = usePanel();
  const [open, setOpen] = React.useState(false);
  const button = React.useRef<HTMLButtonElement>(null);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  return (
    <div
      className="lk-Models"
      onBlur={event => {
        if (!event.currentTarget.contains(event.relatedTarget)) {
          setOpen(false);
        }
      }}
    >
      <button
        ref={button}
        type="button"
        className="lk-Link lk-Small"
        title={trans.__('Change the model')}
        aria-haspopup="listbox"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        {agent.answers || trans.__('no model')}
      </button>
      {open && <Choice agent={agent} onClose={close} />}
    </div>
  );
}

function Choice({ agent, onClose }: { agent: IAgent; onClose: () => void }): JSX.Element {
  const { trans, model, actions } = usePanel();
  const [known, setKnown] = React.useState<string[]>([]);
  const [text, setText] = React.useState('');
  const [place, setPlace] = React.useState(0);
  const id = React.useId();
  React.useEffect(() => {
    const usable = (models: IModelInfo[]) => models.filter(one => one.usable).map(one => one.name);
    // Where they cannot be listed, any name can be written.
    void model.bridge.request<IModelInfo[]>('models').then(usable, () => []).then(setKnown);
  }, [model]);
  const wanted = text.trim().toLowerCase();
  const found = known.filter(name => name.toLowerCase().includes(wanted)).slice(0, SHOWN);
  const names = wanted && !known.includes(text.trim()) ? [...found, text.trim()] : found;
  const at = Math.min(place, names.length - 1);
  const use = (name: string | undefined) => {
    onClose();
    if (name && name !== agent.model) {
      void actions.useModel(agent, name);
    }
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    const steps: Record<string, number | undefined> = { ArrowDown: 1, ArrowUp: -1 };
    const step = steps[event.key];
    if (step) {
      setPlace(Math.max(0, Math.min(at + step, names.length - 1)));
    } else if (event.key === 'Enter') {
      use(names[at]);
    } else if (event.key === 'Escape') {
      onClose();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div className="lk-Popup">
      <input
        type="text"
        role="combobox"
        className="jp-mod-styled lk-Input"
        aria-label={trans.__('Search the models')}
        placeholder={trans.__('Search, or write provider/name')}
        aria-expanded={true}
        aria-controls={id}
        aria-activedescendant={names.length ? `${id}-${at}` : undefined}
        autoFocus
        value={text}
        onChange={event => {
          setText(event.target.value);
          setPlace(0);
        }}
        onKeyDown={onKeyDown}
      />
      <Options
        id={id}
        label={trans.__('Models')}
        options={names.map(name => ({ name }))}
        at={at}
        onUse={use}
      />
    </div>
  );
}
