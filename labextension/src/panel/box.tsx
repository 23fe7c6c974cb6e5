// What is written to an agent: the text, files that it names, send and stop.

import { fileIcon, runIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { DRAGGED } from './files';
import { Images, isImage, readImage } from './images';
import { Mentions, useMentions } from './mentions';
import type { AgentModel } from './model/agent';
import type { IAgent } from './model/records';
import { IconButton, usePanel } from './ui';

/** What JupyterLab tells of something that is dragged over an element. */
interface IDragged extends Event {
  mimeData: { hasData(mime: string): boolean; getData(mime: string): unknown };
  proposedAction: string;
  dropAction: string;
}

/** Enter sends, Shift+Enter makes a line. */
export function Box({ agent, state }: { agent: AgentModel; state: IAgent }): JSX.Element {
  const { trans, ...panel } = usePanel();
  const files = state.shared ? null : panel.files; // nothing of the project goes to others
  const { chat } = agent;
  const label = trans.__('Message to %1', state.name);
  const send = () => void agent.send(state.shared ? state.id : state.name);
  const form = React.useRef<HTMLFormElement>(null);
  const field = React.useRef<HTMLTextAreaElement>(null);

  /** Put names of files where the cursor is. */
  const add = (names: string[]) => {
    const { draft } = agent.chat;
    const at = field.current?.selectionStart ?? draft.length;
    const before = draft.slice(0, at);
    const space = before && !/\s$/.test(before) ? ' ' : '';
    const text = names.length ? `${space}${names.join(' ')} ` : '';
    agent.chat.write(before + text + draft.slice(at));
    field.current?.focus();
  };
  const attach = (coming: Promise<string[]>) => void agent.chat.attach(coming.then(add));
  const bring = async (all: Iterable<File>) => {
    const given = Array.from(all);
    const images = await Promise.all(given.filter(isImage).map(readImage));
    agent.chat.setImages([...agent.chat.images, ...images]);
    return Promise.all(given.filter(file => !isImage(file)).map(file => files!.bring(file)));
  };
  const mentions = useMentions((count, text) => {
    const { draft } = agent.chat;
    const at = field.current?.selectionStart ?? draft.length;
    agent.chat.write(draft.slice(0, at - count) + text + draft.slice(at));
  });

  React.useEffect(() => {
    const node = form.current;
    if (!node || !files) {
      return undefined;
    }
    const over = (event: Event) => {
      const dragged = event as IDragged;
      if (dragged.mimeData.hasData(DRAGGED)) {
        event.preventDefault();
        event.stopPropagation();
        dragged.dropAction = dragged.proposedAction;
        if (event.type === 'lm-drop') {
          const paths = dragged.mimeData.getData(DRAGGED) as string[];
          add(paths.map(path => files.nameOf(path)));
        }
      }
    };
    const types = ['lm-dragenter', 'lm-dragover', 'lm-drop'];
    types.forEach(type => node.addEventListener(type, over));
    return () => types.forEach(type => node.removeEventListener(type, over));
  }, [agent, files]);

  return (
    <form
      ref={form}
      className="lk-Box"
      onSubmit={event => {
        event.preventDefault();
        send();
      }}
      onDragOver={event => files && event.dataTransfer.types.includes('Files') && event.preventDefault()}
      onDrop={event => {
        if (files && event.dataTransfer.files.length) {
          event.preventDefault();
          attach(bring(event.dataTransfer.files));
        }
      }}
    >
      <Mentions mentions={mentions} />
      <Images chat={chat} />
      <textarea
        ref={field}
        className="jp-mod-styled lk-Input"
        rows={Math.min(8, Math.max(2, chat.draft.split('\n').length))}
        dir="auto"
        aria-label={label}
        placeholder={label}
        value={chat.draft}
        aria-controls={mentions.names.length ? mentions.id : undefined}
        aria-activedescendant={mentions.names.length ? `${mentions.id}-${mentions.at}` : undefined}
        onBlur={mentions.close}
        onChange={event => {
          const { value, selectionStart } = event.target;
          chat.write(value);
          if (!state.shared) {
            mentions.look(value.slice(0, selectionStart));
          }
        }}
        onKeyDown={event => {
          if (mentions.take(event.key)) {
            event.preventDefault();
          } else if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            send();
          }
        }}
        onPaste={event => {
          if (files && event.clipboardData.files.length) {
            event.preventDefault();
            attach(bring(event.clipboardData.files));
          }
        }}
      />
      <div className="lk-Box-buttons">
        {files && (
          <IconButton
            icon={fileIcon}
            label={trans.__('Name files in the message')}
            onClick={() => attach(files.choose())}
          />
        )}
        {chat.running ? (
          <IconButton
            icon={stopIcon}
            label={trans.__('Stop %1', state.name)}
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
      </div>
    </form>
  );
}
