// The side panel: the agents behind the notebook in front, or why there are none to show.

import {
  addIcon,
  fileUploadIcon,
  lockIcon,
  ReactWidget,
  refreshIcon
} from '@jupyterlab/ui-components';
import { MessageLoop, type Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import * as React from 'react';

import { AgentList, Chosen } from './agents';
import { agentIcon } from './icon';
import type { IAgent } from './model/records';
import {
  Hint,
  IconButton,
  PanelContext,
  Problem,
  Reading,
  TextButton,
  useModel,
  usePanel,
  type IPanelContext
} from './ui';
import { named } from '../ui/dom';

export const PANEL_ID = 'letta-kernel-agents';

interface IOptions extends IPanelContext {
  /** Open a menu of what can be done with an agent, below an element. */
  onMenu: (agent: IAgent, below: HTMLElement) => void;
}

export class AgentsPanel extends ReactWidget {
  constructor(private options: IOptions) {
    super();
    const title = options.trans.__('Agents');
    this.id = PANEL_ID;
    this.title.icon = agentIcon;
    this.title.caption = title;
    this.addClass('lk-Panel');
    named(this.node, 'region', title);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.options.model.show(true);
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    window.addEventListener('resize', this._fit);
    if (this.isVisible) {
      this.options.model.show(true);
    }
  }

  protected override onBeforeDetach(message: Message): void {
    window.removeEventListener('resize', this._fit);
    super.onBeforeDetach(message);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.options.model.show(false);
  }

  protected override onActivateRequest(): void {
    const chosen = this.node.querySelector<HTMLElement>('[aria-selected=true]');
    (chosen ?? this.node.querySelector<HTMLElement>('button:enabled'))?.focus();
  }

  /** How wide the panel has to be depends on the page (style/panel.css), which its place reads anew only if told. */
  private _fit = (): void => {
    if (this.parent) {
      MessageLoop.postMessage(this.parent, Widget.Msg.FitRequest);
    }
  };

  protected override render(): JSX.Element {
    return (
      <PanelContext.Provider value={this.options}>
        <PanelView onMenu={this.options.onMenu} />
      </PanelContext.Provider>
    );
  }
}

function PanelView({ onMenu }: Pick<IOptions, 'onMenu'>): JSX.Element {
  const { model, trans, actions } = usePanel();
  useModel(model);
  const { bridge, agent } = model;
  const ready = bridge.answeredBy !== null;
  return (
    <>
      <div className="lk-Panel-head">
        <h2>{trans.__('Agents')}</h2>
        <span className="lk-muted lk-Small lk-Panel-project" dir="auto" title={bridge.project}>
          {ready && bridge.project}
        </span>
        <IconButton
          icon={addIcon}
          label={trans.__('New agent')}
          disabled={!ready}
          onClick={() => void actions.create()}
        />
        <IconButton
          icon={fileUploadIcon}
          label={trans.__('Import an agent')}
          disabled={!ready}
          onClick={() => void actions.import()}
        />
        <IconButton
          icon={lockIcon}
          label={trans.__('Keys of model providers')}
          disabled={!ready}
          onClick={() => void actions.keys()}
        />
        <IconButton
          icon={refreshIcon}
          label={trans.__('Read everything again')}
          disabled={!ready}
          onClick={() => model.refreshAll()}
        />
      </div>
      {ready ? (
        <>
          {bridge.answeredBy === 'server' && <NoKernel />}
          <Problem text={model.error} onDismiss={() => model.dismiss()} />
          {!model.loaded && !model.error && <Reading />}
          <Problem text={model.sharedProblem} onDismiss={() => model.dismissShared()} />
          {model.loaded && !model.agents.length && (
            <div className="lk-Welcome">
              <Hint>{trans.__('This project has no agents yet.')}</Hint>
              <TextButton accept onClick={() => void actions.create()}>
                {trans.__('Create an agent')}
              </TextButton>
            </div>
          )}
          {model.loaded && model.all.length > 0 && <AgentList model={model} />}
          {model.loaded && agent && (
            <div className="lk-Panel-body">
              <Chosen model={model} agent={agent} onMenu={below => onMenu(agent, below)} />
            </div>
          )}
        </>
      ) : (
        <NotReady />
      )}
    </>
  );
}

/** That the agents are here though the notebook in front has no kernel for them. */
function NoKernel(): JSX.Element | null {
  const { model, trans } = usePanel();
  const { state, panel } = model.bridge;
  if (state === 'plain-python') {
    return <NotReady />;
  }
  return panel && state !== 'connecting' ? (
    <Hint>{trans.__('The kernel is gone: runs go on in the Jupyter server.')}</Hint>
  ) : null;
}

/** Why there is nothing to show, and what can be done about it. */
function NotReady(): JSX.Element {
  const { model, trans } = usePanel();
  const { bridge } = model;
  const says = () => {
    switch (bridge.state) {
      case 'none':
        return trans.__('Open a notebook with the Letta kernel to see its agents.');
      case 'connecting':
        return trans.__('The kernel is starting. Its agents appear when it answers.');
      case 'plain-python':
        return trans.__('This notebook runs plain Python. Agents come with one line at its top.');
      case 'old':
        return trans.__(
          'The kernel has an older letta-kernel. Upgrade it there, then restart the kernel.'
        );
      default:
        return trans.__('The connection to the kernel is lost. Restart it from the Kernel menu.');
    }
  };
  const [failed, setFailed] = React.useState('');
  return (
    <div className="lk-Welcome" role="status">
      <agentIcon.react tag="span" width="40px" height="40px" className="lk-Welcome-icon" />
      <Hint>{says()}</Hint>
      {bridge.state === 'plain-python' && (
        <TextButton
          accept
          onClick={() => {
            setFailed('');
            bridge.insertLoadExt().catch((error: Error) => setFailed(error.message));
          }}
        >
          {trans.__('Add %load_ext letta_kernel')}
        </TextButton>
      )}
      <Problem text={failed} onDismiss={() => setFailed('')} />
    </div>
  );
}
