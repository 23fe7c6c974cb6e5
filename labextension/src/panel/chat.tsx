// Talking to an agent without a cell: what was said, the run as it happens, its questions.

import { runIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { RunView } from '../view';
import { pretty } from '../words';
import type { ChatModel, IExchange } from './model/chat';
import type { AgentModel } from './model/panel';
import type { IAgent, IMessage, IToolCall } from './model/records';
import { useFollowedEnd } from './follow';
import { CallLine } from './messages';
import { Hint, IconButton, Markdown, PartBody, Problem, TextButton, usePanel } from './ui';

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
  const host = React.useRef<HTMLDivElement>(null);
  const view = React.useRef<RunView | null>(null);
  React.useEffect(() => {
    view.current = new RunView(hosts, trans, undefined, true);
    host.current?.replaceChildren(view.current.node);
  }, [hosts, trans]);
  React.useEffect(() => {
    if (exchange.transcript) {
      view.current?.update(exchange.transcript.snapshot());
    }
  });
  const begins = exchange.transcript?.state === 'running' && exchange.transcript.empty;
  return (
    <>
      <div ref={host} className="lk-Bubble lk-mod-agent" />
      {begins && <Hint>{trans.__('thinks…')}</Hint>}
    </>
  );
}

function Approval({ chat }: { chat: ChatModel }): JSX.Element {
  const { trans } = usePanel();
  const approveAll = () =>
    chat.waiting.forEach(call => void chat.decide({ call_id: call.id, approve: true }));
  const node = React.useRef<HTMLDivElement>(null);
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
    <div ref={node} className="lk-Approval" role="group" aria-label={trans.__('Waits for your approval')}>
      <p role="alert">
        {trans._n('One call waits for you.', '%1 calls wait for you.', chat.waiting.length)}
      </p>
      {chat.waiting.map(call => (
        <CallToDecide key={call.id} call={call} chat={chat} />
      ))}
      {chat.waiting.length > 1 && (
        <TextButton accept onClick={approveAll}>
          {trans.__('Approve all')}
        </TextButton>
      )}
    </div>
  );
}

function CallToDecide({ call, chat }: { call: IToolCall; chat: ChatModel }): JSX.Element {
  const { trans } = usePanel();
  const [mode, setMode] = React.useState<'ask' | 'deny' | 'edit'>('ask');
  const [text, setText] = React.useState('');
  const [wrong, setWrong] = React.useState(false);
  const made = chat.decisions.get(call.id);
  const id = call.id;
  const approve = () => {
    if (mode !== 'edit') {
      void chat.decide({ call_id: id, approve: true });
      return;
    }
    try {
      const given: unknown = JSON.parse(text);
      if (typeof given === 'object' && given !== null && !Array.isArray(given)) {
        const edited = given as Record<string, unknown>;
        void chat.decide({ call_id: id, approve: true, arguments: edited });
        return;
      }
    } catch {
      // said below
    }
    setWrong(true);
  };
  const deny = () => void chat.decide({ call_id: id, approve: false, reason: text });
  const begin = (next: 'deny' | 'edit') => {
    setMode(next);
    setText(next === 'edit' ? formatted(call.arguments) : '');
    setWrong(false);
  };
  if (made) {
    return (
      <div className="lk-Row">
        <CallLine call={call} />
        <span className="lk-muted">{made.approve ? trans.__('approved') : trans.__('denied')}</span>
      </div>
    );
  }
  return (
    <div className="lk-Form">
      <CallLine call={call} />
      {mode !== 'ask' && (
        <textarea
          className="jp-mod-styled lk-Input"
          autoFocus
          rows={mode === 'edit' ? 4 : 1}
          dir="auto"
          aria-label={
            mode === 'edit'
              ? trans.__('Arguments of %1, as JSON', call.name)
              : trans.__('Why not (optional)')
          }
          aria-invalid={wrong}
          placeholder={mode === 'deny' ? trans.__('Why not (optional)') : ''}
          value={text}
          onChange={event => setText(event.target.value)}
        />
      )}
      {wrong && (
        <span className="lk-Error lk-Small" role="alert">
          {trans.__('The arguments have to be a JSON object.')}
        </span>
      )}
      <div className="lk-Row">
        {mode !== 'deny' && (
          <TextButton accept onClick={approve}>
            {trans.__('Approve')}
          </TextButton>
        )}
        {mode === 'ask' && (
          <TextButton onClick={() => begin('edit')}>{trans.__('Edit')}</TextButton>
        )}
        {mode !== 'edit' && (
          <TextButton onClick={mode === 'deny' ? deny : () => begin('deny')}>
            {trans.__('Deny')}
          </TextButton>
        )}
        {mode !== 'ask' && (
          <TextButton onClick={() => setMode('ask')}>{trans.__('Back')}</TextButton>
        )}
      </div>
    </div>
  );
}

function formatted(text: string): string {
  try {
    return pretty(JSON.parse(text));
  } catch {
    return text;
  }
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
