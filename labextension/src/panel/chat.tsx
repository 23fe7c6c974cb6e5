// Talking to an agent without a cell: what was said, the run as it happens, its questions.

import * as React from 'react';

import { drawApproval } from '../ui/ask';
import { readSnapshot } from '../ui/snapshot';
import { spoken } from '../ui/spoken';
import { RunView } from '../ui/view';
import { Box } from './box';
import { Conversations } from './conversations';
import { useFollowedEnd } from './follow';
import type { AgentModel } from './model/agent';
import type { ChatModel, IExchange } from './model/chat';
import { mayTalk, type IAgent, type IMessage } from './model/records';
import { senderOf } from './messages';
import { Prompt } from './prompt';
import { Drawn, Hint, Markdown, PartBody, Problem, useModel, usePanel } from './ui';

export function ChatSection({ agent, state }: { agent: AgentModel; state: IAgent }) {
  const { trans } = usePanel();
  const { chat, conversations } = agent;
  useModel(conversations); // another one may be looked at
  return (
    <>
      {state.shared ? <Told state={state} /> : <Conversations conversations={conversations} />}
      <PartBody key={chat.conversation} part={chat}>
        {() => (
          <>
            <Said agent={agent} state={state} />
            <Spoken chat={chat} />
            {chat.waiting.length > 0 && <Approval chat={chat} />}
            {mayTalk(state) ? (
              <Box agent={agent} state={state} />
            ) : (
              <Hint>{trans.__('You may read %1, and not talk with it.', state.name)}</Hint>
            )}
          </>
        )}
      </PartBody>
    </>
  );
}

/** What whoever talks to somebody else's agent is told: what is kept, and who sees it. */
function Told({ state }: { state: IAgent }): JSX.Element | null {
  const { model, trans } = usePanel();
  const { server, notice } = model.shared;
  const owner = state.shared?.owner ?? '';
  if (!mayTalk(state)) {
    return null;
  }
  return (
    <p className="lk-Hint lk-Small lk-Kept" dir="auto">
      {trans.__(
        'What you say to %1, and what it answers, is kept at %2 under your name. %3 and whoever runs the server can read it.',
        state.name,
        server,
        owner
      )}{' '}
      {notice}
    </p>
  );
}

interface IProps {
  agent: AgentModel;
  state: IAgent;
}

function Said({ agent, state }: IProps): JSX.Element {
  const { trans } = usePanel();
  const { chat } = agent;
  const last = chat.exchanges[chat.exchanges.length - 1];
  const node = useFollowedEnd(last && !last.runId ? last.key : null);
  const empty = !chat.past.length && !chat.exchanges.length;
  return (
    <div
      ref={node}
      className="lk-Chat"
      role="log"
      aria-live="off"
      aria-label={trans.__('Conversation with %1', state.name)}
    >
      {empty && (
        <Hint>
          {mayTalk(state)
            ? trans.__('Say something to %1.', state.name)
            : trans.__('Nothing was said to %1 yet.', state.name)}
        </Hint>
      )}
      {chat.past.map(message => (
        <PastMessage key={message.id} message={message} agent={agent} state={state} />
      ))}
      {chat.exchanges.map(exchange => (
        <ExchangeView key={exchange.key} exchange={exchange} agent={agent} state={state} />
      ))}
    </div>
  );
}

function PastMessage({ message, ...props }: IProps & { message: IMessage }): JSX.Element | null {
  const { state } = props;
  if (!message.content) {
    return null;
  }
  return message.role === 'assistant' ? (
    <div className="lk-Bubble lk-mod-agent">
      <Markdown text={message.content} />
    </div>
  ) : (
    <Prompt
      text={message.content}
      sender={senderOf(message)}
      said={message.role === 'user' && !message.sender_id && !state.shared ? message.id : null}
      {...props}
    />
  );
}

function ExchangeView({ exchange, ...props }: IProps & { exchange: IExchange }): JSX.Element {
  const { trans } = usePanel();
  const over = exchange.transcript !== null && exchange.transcript.state !== 'running';
  return (
    <>
      {exchange.prompt && (
        <Prompt text={exchange.prompt} said={over && !props.state.shared ? exchange : null} {...props} />
      )}
      {exchange.transcript ? (
        <RunDrawing exchange={exchange} />
      ) : (
        !exchange.error && (
          <p className="lk-Hint" role="status">
            {trans.__('Waits for its turn…')}
          </p>
        )
      )}
      <Problem text={exchange.error} />
    </>
  );
}

/** How the newest run stands, for those who listen; the log itself changes with every word. */
function Spoken({ chat }: { chat: ChatModel }): JSX.Element {
  const { trans } = usePanel();
  const last = chat.exchanges[chat.exchanges.length - 1];
  const snapshot = readSnapshot(last?.transcript?.snapshot());
  return (
    <div className="lk-spoken" role="status">
      {snapshot && spoken(snapshot, trans)}
    </div>
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
