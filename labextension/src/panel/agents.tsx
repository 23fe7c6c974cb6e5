// The agents of the project, and the parts of the chosen one.

import { caretDownIcon, caretRightIcon, ellipsesIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { Trans } from '../ui/words';
import type { PanelModel } from './model/panel';
import { mayRead, type AgentStatus, type IAgent, type IShared } from './model/records';
import type { ISection } from './model/section';
import { ModelPicker } from './models';
import { Guard, IconButton, useModel, usePanel } from './ui';

const SIGNS: Record<AgentStatus, string> = { idle: '○', running: '◐', waiting: '◇' };

function stateWord(state: AgentStatus, trans: Trans): string {
  switch (state) {
    case 'running':
      return trans.__('running');
    case 'waiting':
      return trans.__('waits for approval');
    default:
      return trans.__('idle');
  }
}

/** One of the agents can be chosen, own ones and those of others, with the arrow keys too. */
export function AgentList({ model }: { model: PanelModel }): JSX.Element {
  const { trans } = usePanel();
  const list = React.useRef<HTMLDivElement>(null);
  const { agents, all, shared } = model;
  const id = React.useId();
  const move = (event: React.KeyboardEvent) => {
    const last = all.length - 1;
    const now = all.findIndex(one => one.id === model.chosen?.id);
    const places: Record<string, number | undefined> = {
      ArrowDown: Math.min(now + 1, last),
      ArrowUp: Math.max(now - 1, 0),
      Home: 0,
      End: last
    };
    const next = places[event.key];
    if (next !== undefined) {
      event.preventDefault();
      model.choose(all[next].id);
      list.current?.querySelectorAll<HTMLElement>('[role=option]')[next]?.focus();
    }
  };
  return (
    <div
      ref={list}
      className="lk-Agents"
      role="listbox"
      aria-label={trans.__('Agents')}
      onKeyDown={move}
    >
      {agents.map(agent => (
        <Option key={agent.id} model={model} agent={agent} />
      ))}
      {shared.agents.length > 0 && (
        <div role="group" aria-labelledby={id}>
          <div id={id} role="presentation" className="lk-Agents-of lk-muted lk-Small">
            {trans.__('Shared with me')}
          </div>
          {shared.agents.map(agent => (
            <Option key={agent.id} model={model} agent={agent} />
          ))}
        </div>
      )}
    </div>
  );
}

function Option({ model, agent }: { model: PanelModel; agent: IAgent }): JSX.Element {
  const { trans } = usePanel();
  const chosen = agent.id === model.chosen?.id;
  return (
    <div
      role="option"
      aria-selected={chosen}
      tabIndex={chosen ? 0 : -1}
      className={`lk-Agent lk-mod-${agent.state}`}
      title={agent.description || undefined}
      onClick={() => model.choose(agent.id)}
    >
      <span className="lk-Agent-sign" aria-hidden="true">
        {SIGNS[agent.state]}
      </span>
      <span className="lk-Agent-name" dir="auto">
        {agent.name}
      </span>
      <span className={agent.state === 'idle' ? 'lk-spoken' : 'lk-Agent-state lk-Small'}>
        {stateWord(agent.state, trans)}
      </span>
      {agent.id === model.current && (
        <span
          className="lk-Tag"
          title={trans.__('The cells of this notebook talk to %1', agent.name)}
        >
          {trans.__('this notebook')}
        </span>
      )}
      {(agent.groups ?? []).map(group => (
        <span key={group} className="lk-Tag" dir="auto" title={trans.__('In the group %1', group)}>
          {group}
        </span>
      ))}
      {agent.shared && (
        <span className="lk-Tag" title={trans.__('What %1 lets you do', agent.shared.owner)}>
          {rightsWord(agent.shared, trans)}
        </span>
      )}
      <span className="lk-Agent-model lk-muted lk-Small">{agent.answers}</span>
    </div>
  );
}

/** What one may with somebody else's agent, in words. */
function rightsWord({ rights }: IShared, trans: Trans): string {
  const words = { read: trans.__('read'), talk: trans.__('talk'), write: trans.__('write') };
  return rights.map(right => words[right] ?? right).join(', ');
}

interface IChosenProps {
  model: PanelModel;
  agent: IAgent;
  /** Open a menu of what can be done with the agent, below an element. */
  onMenu: (below: HTMLElement) => void;
}

export function Chosen({ model, agent, onMenu }: IChosenProps): JSX.Element | null {
  const { trans, sections } = usePanel();
  const { chosen } = model;
  useModel(sections);
  if (!chosen) {
    return null;
  }
  return (
    <section className="lk-Chosen" aria-label={agent.name}>
      <header className="lk-Chosen-head">
        <h3 dir="auto">{agent.name}</h3>
        {agent.shared ? (
          <span className="lk-muted lk-Small">{agent.answers}</span>
        ) : (
          <>
            <IconButton
              icon={ellipsesIcon}
              label={trans.__('What can be done with %1', agent.name)}
              aria-haspopup="menu"
              onClick={event => onMenu(event.currentTarget)}
            />
            <ModelPicker agent={agent} />
          </>
        )}
        {agent.label && agent.label !== agent.answers && (
          <span className="lk-Tag">{agent.label}</span>
        )}
      </header>
      {agent.shared && <Whose agent={agent} shared={agent.shared} />}
      {sections.all.filter(section => offered(section, agent)).map(section => (
        <SectionView key={section.id} section={section} model={model}>
          <section.body key={chosen.id} agent={chosen} state={agent} />
        </SectionView>
      ))}
    </section>
  );
}

/** Whose it is, and what one may with it. */
function Whose({ agent, shared }: { agent: IAgent; shared: IShared }): JSX.Element {
  const { trans } = usePanel();
  const { owner, rights, tools } = shared;
  const may = {
    read: trans.__('see its memory, and what is said to it'),
    talk: trans.__('talk with it, in a conversation of your own'),
    write: trans.__('change the texts of its memory')
  };
  const all = rights.map(right => may[right] ?? right).join('; ');
  return (
    <div className="lk-Whose lk-Small">
      <p dir="auto">
        {trans.__('%1 shares it with you. You may: %2.', owner, all)}{' '}
        {!mayRead(agent) && trans.__('Its memory is not shown to you.')}{' '}
        {tools.length > 0 && trans.__('Tools that run for you: %1.', tools.join(', '))}
      </p>
      <p className="lk-muted" dir="auto">
        {trans.__('Everything else with it is for %1 to do.', owner)}
      </p>
    </div>
  );
}

/** Whether a section says something of an agent: of somebody else's only what one may see is shown. */
function offered({ id }: ISection, agent: IAgent): boolean {
  return !agent.shared || id === 'chat' || (id === 'memory' && mayRead(agent));
}

interface ISectionProps {
  section: ISection;
  model: PanelModel;
  children: React.ReactNode;
}

function SectionView({ section, model, children }: ISectionProps): JSX.Element {
  const { trans } = usePanel();
  const open = model.open.has(section.id);
  const Caret = open ? caretDownIcon : caretRightIcon;
  const title = section.title(trans);
  const id = `lk-section-${section.id}`;
  return (
    <section className="lk-Section" data-section={section.id}>
      <h4 className="lk-Section-title">
        <button
          type="button"
          aria-expanded={open}
          aria-controls={id}
          onClick={() => model.toggle(section.id)}
        >
          <Caret.react tag="span" width="16px" height="16px" />
          {title}
        </button>
      </h4>
      <div id={id} role="region" aria-label={title} className="lk-Section-body" hidden={!open}>
        {open && (
          <Guard message={trans.__('This could not be shown. Close and open it to try again.')}>
            {children}
          </Guard>
        )}
      </div>
    </section>
  );
}
