// Talking to an agent without a cell: what was said, the run as it happens, its questions.

import { runIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { drawApproval } from '../ui/ask';
import { readSnapshot } from '../ui/snapshot';
import { RunView } from '../ui/view';
import type { ChatModel, IExchange } from './model/chat';
import type { AgentModel } from './model/panel';
import type { IAgent, IMessage } from './model/records';
import { useFollowedEnd } from './follow';
import { Drawn, Hint, IconButton, Markdown, PartBody, Problem, usePanel } from './ui';

export function ChatSection({ agent, state }: { agent: AgentModel; state: IAgent }) {
  const { trans } = usePanel();
  const { chat } = agent;
  return (
    <PartBody part={chat}>
      {() => (
        <>
          <Said key={state.id} chat={chat} agent={state} />
          {chat.waiting.length > 0 && <Approval chat={chat} />}
          <Box chat={chat} agent={state} label={trans.__('Message to %1', state.name)} />
        </>
      )}
    </PartBody>
  );
}

function Said({ chat, agent }: { chat: ChatModel; agent: IAgent }): JSX.Element {
  const { trans } = usePanel();
  const last = chat.exchanges[chat.exchanges.length - 1];
  const node = useFollowedEnd(last && !last.runId ? last.key : null);
  const empty = !chat.past.length && !chat.exchanges.length;
  return (
    <div
      ref={node}
      className="lk-Chat"
      role="log"
      aria-label={trans.__('Conversation with %1', agent.name)}
    >
      {empty && <Hint>{trans.__('Say something to %1.', agent.name)}</Hint>}
      {chat.past.map(message => (
        <PastMessage key={message.id} message={message} />
      ))}
      {chat.exchanges.map(exchange => (
        <ExchangeView key={exchange.key} exchange={exchange} />
      ))}
    </div>
  );
}

function PastMessage({ message }: { message: IMessage }): JSX.Element | null {
  if (!message.content) {
    return null;
  }
  return message.role === 'assistant' ? (
    <div className="lk-Bubble lk-mod-agent">
      <Markdown text={message.content} />
    </div>
  ) : (
    <Prompt text={message.content} />
  );
}

function Prompt({ text }: { text: string }): JSX.Element {
  return (
    <div className="lk-Bubble lk-mod-user" dir="auto">
      {text}
    </div>
  );
}

function ExchangeView({ exchange }: { exchange: IExchange }): JSX.Element {
  const { trans } = usePanel();
  return (
    <>
      {exchange.prompt && <Prompt text={exchange.prompt} />}
      {exchange.transcript ? (
        <RunDrawing exchange={exchange} />
      ) : (
        !exchange.error && (
          <p className="lk-Hint" role="status">
            {trans.__('Waits for the kernel to be free…')}
          </p>
        )
      )}
      <Problem text={exchange.error} />
    </>
  );
}

/** A run, drawn by the same hand that draws it in a cell. */
function RunDrawing({ exchange }: { exchange: IExchange }): JSX.Element {
  const { hosts, trans } = usePanel();
  const view = React.useMemo(() => new RunView(hosts, trans, undefined, true), [hosts, trans]);
  React.useEffect(() => {
    const snapshot = readSnapshot(exchange.transcript?.snapshot());
    if (snapshot) {
      view.update(snapshot);
    }
  });
  const begins = exchange.transcript?.state === 'running' && exchange.transcript.empty;
  return (
    <>
      <Drawn node={view.node} className="lk-Bubble lk-mod-agent" />
      {begins && <Hint>{trans.__('thinks…')}</Hint>}
    </>
  );
}

function Approval({ chat }: { chat: ChatModel }): JSX.Element {
  const { trans } = usePanel();
  const node = React.useRef<HTMLDivElement>(null);
  const calls = chat.waiting;
  const ids = calls.map(({ id }) => id).join('\n');
  const cards = React.useMemo(
    () =>
      drawApproval(calls, trans, ({ id }, choice) => void chat.decide({ call_id: id, ...choice })),
    [chat, ids, trans]
  );
  React.useLayoutEffect(() => {
    const asked = node.current;
    return () => {
      // Whoever decided with the keyboard goes on in the box below.
      if (asked?.contains(document.activeElement)) {
        asked.parentElement?.querySelector<HTMLElement>('.lk-Box textarea')?.focus();
      }
    };
  }, []);
  return (
    <div ref={node} role="group" aria-label={trans.__('Waits for your approval')}>
      <p role="alert">
        {trans._n('One call waits for you.', '%1 calls wait for you.', calls.length)}
      </p>
      <Drawn node={cards} />
    </div>
  );
}

/** Enter sends, Shift+Enter makes a line. */
function Box({ chat, agent, label }: { chat: ChatModel; agent: IAgent; label: string }) {
  const { trans } = usePanel();
  const send = () => void chat.send(agent.name);
  return (
    <form
      className="lk-Box"
      onSubmit={event => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        className="jp-mod-styled lk-Input"
        rows={Math.min(8, Math.max(2, chat.draft.split('\n').length))}
        dir="auto"
        aria-label={label}
        placeholder={label}
        value={chat.draft}
        onChange={event => chat.write(event.target.value)}
        onKeyDown={event => {
          if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            send();
          }
        }}
      />
      {chat.running ? (
        <IconButton
          icon={stopIcon}
          label={trans.__('Stop %1', agent.name)}
          onClick={() => void chat.stop()}
        />
      ) : (
        <IconButton
          icon={runIcon}
          type="submit"
          label={trans.__('Send')}
          disabled={!chat.draft.trim()}
        />
      )}
    </form>
  );
}
