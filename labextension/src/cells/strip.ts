// The strip above a cell: who an agent cell is for, and the tools that a cell defines.

import { h } from '../ui/dom';
import { oneLine, type Trans } from '../ui/words';
import { readFirstLine } from './firstline';
import { sharedOf, type IFacts, type IToolEntry } from './roster';
import { toolState, toolWord, TOOL_GLYPHS } from './tools';

/** What a strip tells of what is done to it. */
export interface IStripActions {
  chooseAgent(anchor: HTMLElement): void;
  chooseModel(anchor: HTMLElement): void;
  runTool(tool: IToolEntry): void;
  showTool(tool: IToolEntry, anchor: HTMLElement): void;
  hideTool(): void;
}

/** Buttons above one code cell; nothing at all above most of them. */
export class CellStrip {
  constructor(actions: IStripActions, trans: Trans) {
    this._actions = actions;
    this._trans = trans;
    this.node.hidden = true;
    this.node.setAttribute('role', 'group');
  }

  readonly node = h('div', 'lk-Strip');

  /** Show what holds for a cell now. */
  update(source: string, cellId: string, facts: IFacts | null): void {
    const tools = (facts?.tools ?? []).filter(tool => tool.cell_id === cellId);
    const line = facts === null ? null : readFirstLine(source);
    const about = line && [facts?.agents, facts?.shared];
    const key = JSON.stringify([line, tools, facts?.current, about]);
    if (key === this._key) {
      return;
    }
    this._key = key;
    const focused = Array.from(this.node.children).indexOf(document.activeElement ?? this.node);
    const made = line !== null && facts !== null ? this._agent(line, facts) : this._tools(tools);
    if (this.node.children.length > 0) {
      this._actions.hideTool();
    }
    this.node.replaceChildren(...made);
    this.node.hidden = made.length === 0;
    this.node.setAttribute(
      'aria-label',
      line !== null ? this._trans.__('Message to an agent') : this._trans.__('Tools of this cell')
    );
    if (focused >= 0) {
      made[focused]?.focus();
    }
  }

  /** The button that opens the menu of agents, if this is an agent cell. */
  get agentButton(): HTMLElement | null {
    return this.node.querySelector<HTMLElement>('.lk-AgentBadge');
  }

  private _agent(line: { agent: string; model: string }, facts: IFacts): HTMLElement[] {
    const current = facts.agents.find(agent => agent.id === facts.current);
    const named = line.agent
      ? facts.agents.find(agent => agent.name === line.agent || agent.id === line.agent)
      : current;
    const shared = line.agent || sharedOf(facts);
    const name = line.agent || current?.name || shared;
    const agent = this._button('lk-AgentBadge', name || this._trans.__('new agent'), anchor =>
      this._actions.chooseAgent(anchor)
    );
    agent.setAttribute(
      'aria-label',
      name
        ? this._trans.__('Agent: %1. Choose another', oneLine(name, 80))
        : this._trans.__('Agent: one will be made. Choose another')
    );
    agent.title = line.agent
      ? this._trans.__('This message goes to %1', oneLine(name, 80))
      : this._trans.__('This message goes to whom the notebook talks to');
    if (line.agent.startsWith('@')) {
      agent.title = this._trans.__('This message goes to the group %1', oneLine(name, 80));
      return [agent];
    }
    const others = named === undefined && (!line.agent || facts.shared?.includes(line.agent));
    if (shared && others) {
      agent.title = this._trans.__('This message goes to %1', oneLine(name, 80));
      return [agent]; // which model answers is its owner's
    }
    const unknown = line.agent !== '' && named === undefined;
    agent.classList.toggle('lk-mod-unknown', unknown);
    if (unknown) {
      agent.title = this._trans.__('There is no agent of this name yet');
    }
    const modelName = line.model || named?.answers || this._trans.__('model');
    const model = this._button('lk-ModelBadge', modelName, anchor =>
      this._actions.chooseModel(anchor)
    );
    model.classList.toggle('lk-mod-inherited', line.model === '');
    model.setAttribute('aria-label', this._trans.__('Model: %1. Choose another', modelName));
    model.title = line.model
      ? this._trans.__('This model answers this message')
      : this._trans.__("The agent's own model answers");
    return [agent, model];
  }

  private _tools(tools: readonly IToolEntry[]): HTMLElement[] {
    return tools.map(tool => {
      const state = toolState(tool);
      const word = toolWord(tool, this._trans);
      const glyph = h('span', `lk-ToolBadge-glyph lk-mod-${state}`, TOOL_GLYPHS[state]);
      glyph.setAttribute('aria-hidden', 'true');
      const badge = h(
        'button',
        'lk-Badge lk-ToolBadge',
        glyph,
        h('code', 'lk-ToolBadge-name', oneLine(tool.name, 80)),
        state !== 'ok' && h('span', 'lk-muted', word)
      );
      badge.type = 'button';
      badge.dataset.state = state;
      badge.setAttribute(
        'aria-label',
        this._trans.__('Tool %1: %2. Run it by hand', oneLine(tool.name, 80), word)
      );
      badge.addEventListener('click', () => {
        this._actions.hideTool();
        this._actions.runTool(tool);
      });
      badge.addEventListener('mouseenter', () => this._actions.showTool(tool, badge));
      badge.addEventListener('focus', () => this._actions.showTool(tool, badge));
      badge.addEventListener('mouseleave', () => this._actions.hideTool());
      badge.addEventListener('blur', () => this._actions.hideTool());
      return badge;
    });
  }

  private _button(
    className: string,
    text: string,
    act: (anchor: HTMLElement) => void
  ): HTMLButtonElement {
    const caret = h('span', 'lk-Badge-caret', '▾');
    caret.setAttribute('aria-hidden', 'true');
    const name = h('span', 'lk-Badge-text', oneLine(text, 60));
    name.dir = 'auto';
    const button = h('button', `lk-Badge ${className}`, name, caret);
    button.type = 'button';
    button.setAttribute('aria-haspopup', 'menu');
    button.addEventListener('click', () => act(button));
    return button;
  }

  private _actions: IStripActions;
  private _trans: Trans;
  private _key = '';
}
