// An agent's archival memory: searching it, adding to it, deleting from it.

import { deleteIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { AgentModel } from './model/agent';
import type { ArchiveModel } from './model/parts';
import type { IPassage } from './model/records';
import { oneLine } from '../ui/words';
import { Plot } from './plots';
import { Hint, IconButton, LongText, Moment, PartBody, Search, usePanel } from './ui';

export function ArchiveSection({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  const { archive } = agent;
  return (
    <PartBody part={archive}>
      {() => (
        <>
          <Search
            label={trans.__('Search the archive')}
            query={archive.query}
            onSearch={query => {
              agent.plots.retrieval.search(query.trim());
              void archive.search(query);
            }}
          />
          <Plot
            plot={agent.plots.retrieval}
            title={
              archive.query
                ? trans.__('Why they rank so')
                : trans.__('What was looked at for the last message')
            }
          />
          <Insert archive={archive} />
          {archive.tag && (
            <button
              type="button"
              className="lk-Tag lk-Link"
              onClick={() => void archive.filter('')}
            >
              {trans.__('only #%1', archive.tag)} ✕
            </button>
          )}
          <Review archive={archive} />
          <ul className="lk-List" aria-label={trans.__('Passages')}>
            {archive.items.map(passage => (
              <PassageView key={passage.id} passage={passage} archive={archive} />
            ))}
          </ul>
          {!archive.items.length && (
            <Hint>
              {archive.query || archive.tag || archive.view
                ? trans.__('Nothing found.')
                : trans.__('The archive is empty.')}
            </Hint>
          )}
          {archive.more && (
            <button type="button" className="lk-Link" onClick={() => void archive.loadOlder()}>
              {trans.__('Show older')}
            </button>
          )}
        </>
      )}
    </PartBody>
  );
}

function PassageView({ passage, archive }: { passage: IPassage; archive: ArchiveModel }) {
  const { trans, actions } = usePanel();
  const remove = async () => {
    const sure = await actions.confirm(
      trans.__('Delete this passage?'),
      oneLine(passage.content, 200),
      trans.__('Delete')
    );
    if (sure) {
      await archive.remove(passage.id);
    }
  };
  return (
    <li className="lk-Card">
      {passage.superseded_by ? (
        <s title={trans.__('superseded by %1', passage.superseded_by)}>
          <LongText text={passage.content} />
        </s>
      ) : (
        <LongText text={passage.content} />
      )}
      <div className="lk-Row">
        <input
          type="checkbox"
          aria-label={trans.__('Choose %1', oneLine(passage.content, 30))}
          checked={archive.chosen.has(passage.id)}
          onChange={() => archive.choose(passage.id)}
        />
        <Moment iso={passage.created_at} />
        {passage.tags.map(tag => (
          <button
            key={tag}
            type="button"
            className="lk-Tag lk-Link"
            title={trans.__('Show only what has this tag')}
            onClick={() => void archive.filter(tag)}
          >
            #{tag}
          </button>
        ))}
        <span className="lk-Small lk-muted">{passage.origin}</span>
        <span className="lk-Spring" />
        {archive.view !== 'forgotten' && (
          <IconButton
            icon={deleteIcon}
            label={trans.__('Delete the passage %1', oneLine(passage.content, 30))}
            onClick={() => void remove()}
          />
        )}
      </div>
    </li>
  );
}

/** What is shown of the archive, and what is done with the passages that are chosen. */
function Review({ archive }: { archive: ArchiveModel }): JSX.Element {
  const { trans } = usePanel();
  const [tags, setTags] = React.useState('');
  const button = (label: string, act: () => Promise<boolean>) => (
    <button type="button" className="jp-mod-styled lk-TextButton" onClick={() => void act()}>
      {label}
    </button>
  );
  return (
    <div className="lk-Row">
      <select
        className="jp-mod-styled"
        aria-label={trans.__('Show')}
        value={archive.view}
        onChange={event => void archive.look(event.target.value as ArchiveModel['view'])}
      >
        <option value="">{trans.__('All')}</option>
        <option value="superseded">{trans.__('Superseded')}</option>
        <option value="forgotten">{trans.__('Forgotten')}</option>
      </select>
      {archive.chosen.size > 0 && (
        <>
          {archive.view && button(trans.__('Restore'), () => archive.change('restore'))}
          {archive.view !== 'forgotten' && (
            <>
              {button(trans.__('Forget'), () => archive.change('forget'))}
              <input
                className="jp-mod-styled lk-Input"
                aria-label={trans.__('Tags for what is chosen')}
                placeholder={trans.__('Tags')}
                value={tags}
                onChange={event => setTags(event.target.value)}
              />
              {button(trans.__('Tag'), () => archive.change('tag', words(tags)))}
            </>
          )}
        </>
      )}
    </div>
  );
}

function words(text: string): string[] {
  const named = text.split(/[\s,]+/).map(tag => tag.replace(/^#/, ''));
  return named.filter(Boolean);
}

function Insert({ archive }: { archive: ArchiveModel }): JSX.Element {
  const { trans } = usePanel();
  const [text, setText] = React.useState('');
  const [tags, setTags] = React.useState('');
  const add = async () => {
    if (await archive.add(text.trim(), words(tags))) {
      setText('');
      setTags('');
    }
  };
  return (
    <form
      className="lk-Form"
      aria-label={trans.__('Add to the archive')}
      onSubmit={event => {
        event.preventDefault();
        void add();
      }}
    >
      <textarea
        className="jp-mod-styled lk-Input"
        rows={text ? 3 : 1}
        dir="auto"
        aria-label={trans.__('Text to add')}
        placeholder={trans.__('Add something…')}
        value={text}
        onChange={event => setText(event.target.value)}
      />
      {text.trim() && (
        <div className="lk-Row">
          <input
            className="jp-mod-styled lk-Input"
            dir="auto"
            aria-label={trans.__('Tags, separated by commas')}
            placeholder={trans.__('Tags')}
            value={tags}
            onChange={event => setTags(event.target.value)}
          />
          <button type="submit" className="jp-mod-styled jp-mod-accept lk-TextButton">
            {trans.__('Add')}
          </button>
        </div>
      )}
    </form>
  );
}
