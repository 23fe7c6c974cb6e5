// What a person has said; it can be said again, the same or otherwise, in a conversation of its own.

import { editIcon, refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { AgentModel } from './model/agent';
import type { IExchange } from './model/chat';
import type { IAgent } from './model/records';
import { IconButton, TextButton, usePanel } from './ui';

interface IProps {
  text: string;
  /** The agent that said it; none for the person. */
  sender?: string;
  /** What can be said again: the id of the message, or the exchange it began; null: it cannot. */
  said: string | IExchange | null;
  agent: AgentModel;
  state: IAgent;
}

export function Prompt({ text, sender, said, agent, state }: IProps): JSX.Element {
  const { trans } = usePanel();
  const [editing, setEditing] = React.useState(false);
  const again = (otherwise: string) => {
    setEditing(false);
    if (said !== null && otherwise.trim()) {
      void agent.resend(state.name, said, otherwise, trans.__('This message is not kept any more.'));
    }
  };
  if (editing) {
    return <Editor text={text} onSend={again} onCancel={() => setEditing(false)} />;
  }
  const free = said !== null && agent.chat.running === null;
  return (
    <div className="lk-Prompt">
      {free && (
        <div className="lk-Prompt-again">
          <IconButton
            icon={editIcon}
            label={trans.__('Say it otherwise, in a fork')}
            onClick={() => setEditing(true)}
          />
          <IconButton
            icon={refreshIcon}
            label={trans.__('Answer again, in a fork')}
            onClick={() => again(text)}
          />
        </div>
      )}
      <div className="lk-Bubble lk-mod-user" dir="auto">
        {sender && <b className="lk-Small">{sender}: </b>}
        {text}
      </div>
    </div>
  );
}

interface IEditorProps {
  text: string;
  onSend: (text: string) => void;
  onCancel: () => void;
}

/** Enter sends, Shift+Enter makes a line, Escape leaves it as it was. */
function Editor({ text, onSend, onCancel }: IEditorProps): JSX.Element {
  const { trans } = usePanel();
  const [now, setNow] = React.useState(text);
  return (
    <form
      className="lk-Prompt-editor"
      onSubmit={event => {
        event.preventDefault();
        onSend(now);
      }}
    >
      <textarea
        className="jp-mod-styled lk-Input"
        aria-label={trans.__('The message')}
        rows={Math.min(8, Math.max(2, now.split('\n').length))}
        dir="auto"
        autoFocus
        value={now}
        onChange={event => setNow(event.target.value)}
        onKeyDown={event => {
          if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            onSend(now);
          } else if (event.key === 'Escape') {
            onCancel();
          }
        }}
      />
      <div className="lk-Row">
        <TextButton accept type="submit" disabled={!now.trim()}>
          {trans.__('Say it in a fork')}
        </TextButton>
        <TextButton onClick={onCancel}>{trans.__('Cancel')}</TextButton>
      </div>
    </form>
  );
}
