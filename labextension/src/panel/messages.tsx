// An agent's messages, newest first: searched, filtered by who spoke, older ones on demand.

import * as React from 'react';

import { cleanThumbnail } from '../ui/clean';
import type { CallState } from '../ui/snapshot';
import { argumentsLine, oneLine, stateWord, type Trans } from '../ui/words';
import type { AgentModel } from './model/agent';
import type { IMessage, IToolCall } from './model/records';
import { Hint, LongText, Moment, PartBody, Search, usePanel } from './ui';

const ROLES: IMessage['role'][] = ['user', 'assistant', 'tool', 'event', 'summary', 'system'];

function roleWord(role: IMessage['role'], trans: Trans): string {
  switch (role) {
    case 'user':
      return trans.__('You');
    case 'assistant':
      return trans.__('Agent');
    case 'tool':
      return trans.__('Tool');
    case 'event':
      return trans.__('Event');
    case 'summary':
      return trans.__('Summary');
    default:
      return trans.__('System');
  }
}

/** The name of the agent, or of the other person, that spoke a message; empty where neither did. */
export function senderOf(message: IMessage): string {
  const name = message.role === 'user' ? message.name : null;
  return oneLine((message.sender_id && message.name) || message.sender_id || name || '', 80);
}

export function MessagesSection({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  const { messages } = agent;
  return (
    <PartBody part={messages}>
      {() => (
        <>
          <Search
            label={trans.__('Search the messages')}
            query={messages.query}
            onSearch={query => void messages.search(query)}
          />
          {!messages.query && (
            <select
              className="jp-mod-styled lk-Input"
              aria-label={trans.__('Whose messages')}
              value={messages.role}
              onChange={event => void messages.filter(event.target.value as IMessage['role'] | '')}
            >
              <option value="">{trans.__('Everybody')}</option>
              {ROLES.map(role => (
                <option key={role} value={role}>
                  {roleWord(role, trans)}
                </option>
              ))}
            </select>
          )}
          <ol className="lk-Timeline" aria-label={trans.__('Messages')}>
            {messages.items.map(message => (
              <MessageView key={message.id} message={message} />
            ))}
          </ol>
          {!messages.items.length && (
            <Hint>
              {messages.query ? trans.__('Nothing found.') : trans.__('No messages yet.')}
            </Hint>
          )}
          {messages.more && (
            <button type="button" className="lk-Link" onClick={() => void messages.loadOlder()}>
              {trans.__('Show older')}
            </button>
          )}
        </>
      )}
    </PartBody>
  );
}

function MessageView({ message }: { message: IMessage }): JSX.Element {
  const { trans } = usePanel();
  const failed = message.status !== null && message.status !== 'ok';
  return (
    <li className={`lk-Message lk-mod-${message.role}`}>
      <div className="lk-Row">
        <b>{senderOf(message) || roleWord(message.role, trans)}</b>
        {message.name && !message.sender_id && <span className="lk-Code lk-Small">{message.name}</span>}
        {failed && <span className="lk-Error lk-Small">{stateWord(message.status as CallState, trans)}</span>}
        {message.interrupted && (
          <span className="lk-Warn lk-Small">{trans.__('interrupted')}</span>
        )}
        <span className="lk-Spring" />
        <Moment iso={message.created_at} />
      </div>
      {message.reasoning && (
        <details className="lk-Fold">
          <summary>{trans.__('Thought')}</summary>
          <LongText text={message.reasoning} limit={2000} />
        </details>
      )}
      {message.content && <LongText text={message.content} limit={240} />}
      {message.thumbnails
        ?.filter(({ src }) => cleanThumbnail(src))
        .map(({ alt, src }, index) => (
          <img key={index} className="lk-Thumbnail" alt={alt} src={src} />
        ))}
      {message.tool_calls.map((call, index) => (
        <CallLine key={index} call={call} />
      ))}
    </li>
  );
}

/** A call in one line, as in a cell. */
function CallLine({ call }: { call: IToolCall }): JSX.Element {
  return (
    <div className="lk-Code lk-Small lk-CallLine" dir="ltr">
      <b>{call.name}</b>({argumentsLine({ arguments: read(call.arguments) }, 200)})
    </div>
  );
}

function read(text: string): Record<string, unknown> | string {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : text;
  } catch {
    return text;
  }
}
