// The conversations of an agent, above what is said in the one that is looked at.

import {
  addIcon,
  caretDownIcon,
  caretRightIcon,
  copyIcon,
  deleteIcon,
  editIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';

import { oneLine, type Trans } from '../ui/words';
import type { ConversationsModel } from './model/conversations';
import type { IMessage } from './model/records';
import { Hint, IconButton, Moment, Problem, Search, useModel, usePanel } from './ui';

interface IProps {
  conversations: ConversationsModel;
}

function titleOf(conversations: ConversationsModel, id: string | null, trans: Trans): string {
  if (id === null) {
    return trans.__('First conversation');
  }
  return conversations.titleOf(id) || trans.__('New conversation');
}

export function Conversations({ conversations }: IProps): JSX.Element {
  const { trans, actions } = usePanel();
  useModel(conversations);
  const [open, setOpen] = React.useState(false);
  const { current } = conversations;
  const title = titleOf(conversations, current, trans);
  const Caret = open ? caretDownIcon : caretRightIcon;
  const rename = async (id: string) => {
    const name = await actions.askName(
      trans.__('Rename the conversation'),
      conversations.titleOf(id),
      trans.__('Rename')
    );
    if (name) {
      await conversations.rename(id, name);
    }
  };
  const remove = async (id: string) => {
    const sure = await actions.confirm(
      trans.__('Delete %1?', oneLine(title, 60)),
      trans.__('What was said in it is deleted for good; what the agent remembers of it stays.'),
      trans.__('Delete')
    );
    if (sure) {
      await conversations.remove(id);
    }
  };
  return (
    <div className="lk-Talks">
      <div className="lk-Talks-head">
        <button
          type="button"
          className="lk-Talks-current"
          aria-expanded={open}
          title={trans.__('Show all conversations')}
          onClick={() => setOpen(!open)}
        >
          <Caret.react tag="span" width="16px" height="16px" />
          <span dir="auto">{title}</span>
        </button>
        <IconButton
          icon={addIcon}
          label={trans.__('Begin a conversation')}
          onClick={() => void conversations.create()}
        />
        <IconButton
          icon={copyIcon}
          label={trans.__('Fork the conversation')}
          onClick={() => void conversations.fork(undefined, title)}
        />
        {current !== null && (
          <>
            <IconButton
              icon={editIcon}
              label={trans.__('Rename the conversation')}
              onClick={() => void rename(current)}
            />
            <IconButton
              icon={deleteIcon}
              label={trans.__('Delete the conversation')}
              onClick={() => void remove(current)}
            />
          </>
        )}
      </div>
      <Problem text={conversations.error} onDismiss={() => conversations.dismiss()} />
      {open && <All conversations={conversations} onChosen={() => setOpen(false)} />}
    </div>
  );
}

/** All of them, or those in which something is found. */
function All({ conversations, onChosen }: IProps & { onChosen: () => void }): JSX.Element {
  const { trans } = usePanel();
  const { query, hits, current } = conversations;
  const own = titleOf(conversations, null, trans);
  const choose = (id: string | null) => {
    conversations.choose(id);
    onChosen();
  };
  const line = (id: string | null, moment: string | null) => (
    <li key={id ?? ''}>
      <button type="button" aria-current={id === current} onClick={() => choose(id)}>
        <span dir="auto">{titleOf(conversations, id, trans)}</span>
        {moment && <Moment iso={moment} />}
      </button>
    </li>
  );
  const ownFits = own.toLowerCase().includes(query.toLowerCase());
  const found = hits.map(hit => (
    <Hit key={hit.id} hit={hit} conversations={conversations} onChoose={choose} />
  ));
  return (
    <div className="lk-Talks-all" role="group" aria-label={trans.__('Conversations')}>
      <Search
        label={trans.__('Search the conversations')}
        query={query}
        onSearch={text => void conversations.search(text)}
      />
      <ul>
        {ownFits && line(null, null)}
        {conversations.named.map(one => line(one.id, one.last_message_at ?? one.created_at))}
        {found}
      </ul>
      {!ownFits && !conversations.named.length && !hits.length && (
        <Hint>{trans.__('Nothing found.')}</Hint>
      )}
    </div>
  );
}

interface IHitProps extends IProps {
  hit: IMessage;
  onChoose: (id: string | null) => void;
}

/** A message that was found, with the conversation it was said in. */
function Hit({ hit, conversations, onChoose }: IHitProps): JSX.Element {
  const { trans } = usePanel();
  const id = hit.conversation_id ?? null;
  return (
    <li>
      <button type="button" onClick={() => onChoose(id)}>
        <span dir="auto">
          {titleOf(conversations, id, trans)}
          <span className="lk-muted lk-Small">{oneLine(hit.content, 120)}</span>
        </span>
        <Moment iso={hit.created_at} />
      </button>
    </li>
  );
}
