// Where an agent's runs stop for a person to look: at every step, or at breakpoints.

import { deleteIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { AgentModel } from './model/agent';
import { Hint, IconButton, PartBody, TextButton, usePanel } from './ui';

export function DebuggerSection({ agent }: { agent: AgentModel }): JSX.Element {
  return <PartBody part={agent.debugger}>{() => <Debugger agent={agent} />}</PartBody>;
}

function Debugger({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  const [text, setText] = React.useState('');
  const model = agent.debugger;
  const { breakpoints, held, stepping } = model;
  const goes = (action: string, word: string) => (
    <TextButton onClick={() => void model.go(action)}>{word}</TextButton>
  );
  const label = trans.__('Stop at…');
  const add = async () => {
    if (text.trim() && (await model.set({ breakpoints: [...breakpoints, text.trim()] }))) {
      setText('');
    }
  };
  return (
    <>
      {held && (
        <div className="lk-Card" role="group" aria-label={trans.__('A run has stopped')}>
          <b role="status">
            {trans.__('Stopped %1', held.title)} {held.why && trans.__('(%1)', held.why)}
          </b>
          <Hint>{trans.__('The cell shows what comes next, to be changed there.')}</Hint>
          <div className="lk-Row">
            {goes('step', trans.__('Step'))}
            {goes('next', trans.__('Next model call'))}
            {goes('continue', trans.__('Continue'))}
            {goes('stop', trans.__('Stop the run'))}
          </div>
        </div>
      )}
      {stepping !== null && (
        <label className="lk-Row">
          <input
            type="checkbox"
            checked={stepping}
            onChange={() => void model.set({ stepping: !stepping })}
          />
          {trans.__('Stop at each step of runs in this notebook')}
        </label>
      )}
      <ul className="lk-List" aria-label={trans.__('Breakpoints')}>
        {breakpoints.map(one => (
          <li key={one} className="lk-Row">
            <span className="lk-Code" dir="auto">
              {one}
            </span>
            <span className="lk-Spring" />
            <IconButton
              icon={deleteIcon}
              label={trans.__('Do not stop at %1', one)}
              onClick={() => void model.set({ breakpoints: breakpoints.filter(other => other !== one) })}
            />
          </li>
        ))}
      </ul>
      <form
        className="lk-Row"
        onSubmit={event => {
          event.preventDefault();
          void add();
        }}
      >
        <input
          className="jp-mod-styled lk-Input"
          aria-label={label}
          placeholder={label}
          dir="auto"
          value={text}
          onChange={event => setText(event.target.value)}
        />
        <TextButton type="submit">{trans.__('Add')}</TextButton>
      </form>
      <Hint>
        {trans.__('tool:NAME, memory:LABEL, word:TEXT, cost:0.05 (US dollars) or steps:5. Runs in cells stop there.')}
      </Hint>
    </>
  );
}
