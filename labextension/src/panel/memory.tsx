// An agent's memory blocks: how full each is, editing, history, undo and redo.

import {
  addIcon,
  deleteIcon,
  editIcon,
  historyIcon,
  redoIcon,
  undoIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';

import type { AgentModel } from './model/panel';
import type { MemoryModel } from './model/memory';
import type { IBlock, IBlockVersion } from './model/records';
import {
  Diff,
  Hint,
  IconButton,
  LongText,
  Moment,
  PartBody,
  TextButton,
  tokensWord,
  usePanel
} from './ui';

export function MemorySection({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  const memory = agent.memory;
  const [adding, setAdding] = React.useState(false);
  return (
    <PartBody part={memory}>
      {() => (
        <>
          {!memory.blocks.length && <Hint>{trans.__('No memory blocks.')}</Hint>}
          {memory.blocks.map(block => (
            <BlockView key={block.label} block={block} memory={memory} />
          ))}
          {adding ? (
            <NewBlock memory={memory} onDone={() => setAdding(false)} />
          ) : (
            <button type="button" className="lk-Link" onClick={() => setAdding(true)}>
              <addIcon.react tag="span" width="12px" height="12px" /> {trans.__('New block')}
            </button>
          )}
        </>
      )}
    </PartBody>
  );
}

interface IBlockProps {
  block: IBlock;
  memory: MemoryModel;
}

function BlockView({ block, memory }: IBlockProps): JSX.Element {
  const { trans, actions } = usePanel();
  const { label } = block;
  const drafted = memory.drafts.has(label);
  const history = memory.histories.get(label);
  const node = React.useRef<HTMLElement>(null);
  const wasDrafted = React.useRef(drafted);
  React.useEffect(() => {
    if (wasDrafted.current && !drafted && document.activeElement === document.body) {
      node.current?.querySelector<HTMLElement>('button')?.focus();
    }
    wasDrafted.current = drafted;
  }, [drafted]);
  const remove = async () => {
    const sure = await actions.confirm(
      trans.__('Remove %1?', label),
      trans.__('The agent no longer has this block. Other agents that share it keep it.'),
      trans.__('Remove')
    );
    if (sure) {
      await memory.detach(label);
    }
  };
  return (
    <article ref={node} className="lk-Card" aria-label={trans.__('Memory block %1', label)}>
      <header className="lk-Row">
        <h5 className="lk-Card-title" dir="auto" title={block.description}>
          {label}
        </h5>
        {block.read_only && <span className="lk-Tag">{trans.__('read only')}</span>}
        <span className="lk-Spring" />
        {!block.read_only && (
          <>
            <IconButton
              icon={editIcon}
              label={trans.__('Edit %1', label)}
              disabled={drafted}
              onClick={() => memory.edit(label)}
            />
            <IconButton
              icon={undoIcon}
              label={trans.__('Undo the last change of %1', label)}
              disabled={drafted}
              onClick={() => void memory.undo(label)}
            />
            <IconButton
              icon={redoIcon}
              label={trans.__('Redo the change of %1', label)}
              disabled={drafted}
              onClick={() => void memory.redo(label)}
            />
          </>
        )}
        <IconButton
          icon={historyIcon}
          label={trans.__('History of %1', label)}
          aria-expanded={history !== undefined}
          onClick={() => void memory.toggleHistory(label)}
        />
        <IconButton
          icon={deleteIcon}
          label={trans.__('Remove %1', label)}
          onClick={() => void remove()}
        />
      </header>
      <Fill block={block} length={memory.drafts.get(label)?.value.length ?? block.value.length} />
      {block.shared_with.length > 0 && (
        <p className="lk-muted lk-Small" dir="auto">
          {trans.__('Shared with %1', block.shared_with.join(', '))}
        </p>
      )}
      {drafted ? (
        <Editor block={block} memory={memory} />
      ) : block.value ? (
        <LongText text={block.value} limit={600} />
      ) : (
        <Hint>{trans.__('Empty.')}</Hint>
      )}
      {history && <History versions={history} label={label} />}
    </article>
  );
}

/** How full a block is: characters of those it may hold, and what that costs in tokens. */
function Fill({ block, length }: { block: IBlock; length: number }): JSX.Element {
  const { trans } = usePanel();
  const share = block.limit ? Math.min(1, length / block.limit) : 0;
  const level = length > block.limit ? 'over' : share > 0.85 ? 'high' : 'low';
  return (
    <div className="lk-Fill">
      <div
        className="lk-Fill-bar"
        role="meter"
        aria-label={trans.__('How full it is')}
        aria-valuemin={0}
        aria-valuemax={block.limit}
        aria-valuenow={Math.min(length, block.limit)}
      >
        <div className={`lk-Fill-part lk-mod-${level}`} style={{ width: `${share * 100}%` }} />
      </div>
      <span className="lk-muted lk-Small">
        {trans.__('%1 of %2 characters', length.toLocaleString(), block.limit.toLocaleString())}
        {' · '}
        {tokensWord(block.tokens, trans)}
        {' · '}
        {trans.__('v%1', block.version)}
      </span>
    </div>
  );
}

function Editor({ block, memory }: IBlockProps): JSX.Element | null {
  const { trans } = usePanel();
  const { label } = block;
  const draft = memory.drafts.get(label);
  if (!draft) {
    return null;
  }
  const conflict = memory.conflict(label);
  const over = draft.value.length > block.limit;
  const save = () => void memory.save(label);
  return (
    <div className="lk-Editor">
      <textarea
        className="jp-mod-styled lk-Input"
        autoFocus
        dir="auto"
        rows={Math.min(16, Math.max(4, draft.value.split('\n').length + 1))}
        aria-label={trans.__('Text of %1', label)}
        aria-invalid={over}
        value={draft.value}
        onChange={event => memory.change(label, event.target.value)}
        onKeyDown={event => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            save();
          } else if (event.key === 'Escape' && draft.value === draft.from.value) {
            memory.cancel(label);
          }
        }}
      />
      {conflict ? (
        <div className="lk-Conflict" role="alert">
          <p>{trans.__('%1 was changed while you were editing it:', label)}</p>
          <Diff before={draft.from.value} after={conflict.value} />
          <div className="lk-Row">
            <TextButton onClick={() => memory.cancel(label)}>{trans.__('Take theirs')}</TextButton>
            <TextButton accept onClick={() => void memory.keepMine(label)}>
              {trans.__('Keep mine')}
            </TextButton>
          </div>
        </div>
      ) : (
        <div className="lk-Row">
          <TextButton onClick={() => memory.cancel(label)}>{trans.__('Cancel')}</TextButton>
          <TextButton accept disabled={draft.saving || over} onClick={save}>
            {trans.__('Save')}
          </TextButton>
          {over && <span className="lk-Warn lk-Small">{trans.__('Too long')}</span>}
        </div>
      )}
    </div>
  );
}

interface IHistoryProps {
  versions: IBlockVersion[];
  label: string;
}

function History({ versions, label }: IHistoryProps): JSX.Element {
  const { trans } = usePanel();
  return (
    <ol className="lk-History" aria-label={trans.__('Versions of %1, newest first', label)}>
      {versions.map((version, index) => (
        <li key={version.version}>
          <details>
            <summary>
              {trans.__('v%1', version.version)}{' '}
              <span className="lk-muted">
                {version.by ? trans.__('by %1', version.by) : trans.__('by a person')}
              </span>{' '}
              <Moment iso={version.created_at} />
              {version.reason && (
                <span className="lk-muted" dir="auto">
                  {' · '}
                  {version.reason}
                </span>
              )}
            </summary>
            <Diff before={versions[index + 1]?.value ?? ''} after={version.value} />
          </details>
        </li>
      ))}
    </ol>
  );
}

function NewBlock({ memory, onDone }: { memory: MemoryModel; onDone: () => void }): JSX.Element {
  const { trans } = usePanel();
  const [label, setLabel] = React.useState('');
  const [value, setValue] = React.useState('');
  const [description, setDescription] = React.useState('');
  const [limit, setLimit] = React.useState('');
  const create = async () => {
    const made = await memory.create({
      label: label.trim(),
      value,
      ...(limit ? { limit: Number(limit) } : {}),
      ...(description ? { description } : {})
    });
    if (made) {
      onDone();
    }
  };
  return (
    <form
      className="lk-Card lk-Form"
      aria-label={trans.__('New block')}
      onSubmit={event => {
        event.preventDefault();
        void create();
      }}
    >
      <label>
        {trans.__('Label')}
        <input
          className="jp-mod-styled lk-Input"
          required
          autoFocus
          dir="auto"
          value={label}
          onChange={event => setLabel(event.target.value)}
        />
      </label>
      <label>
        {trans.__('What it is for (optional)')}
        <input
          className="jp-mod-styled lk-Input"
          dir="auto"
          value={description}
          onChange={event => setDescription(event.target.value)}
        />
      </label>
      <label>
        {trans.__('Text')}
        <textarea
          className="jp-mod-styled lk-Input"
          rows={3}
          dir="auto"
          value={value}
          onChange={event => setValue(event.target.value)}
        />
      </label>
      <label>
        {trans.__('Characters it may hold (optional)')}
        <input
          className="jp-mod-styled lk-Input"
          type="number"
          min={1}
          value={limit}
          onChange={event => setLimit(event.target.value)}
        />
      </label>
      <div className="lk-Row">
        <TextButton onClick={onDone}>{trans.__('Cancel')}</TextButton>
        <button type="submit" className="jp-mod-styled jp-mod-accept lk-TextButton">
          {trans.__('Create block')}
        </button>
      </div>
    </form>
  );
}
