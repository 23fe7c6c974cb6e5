// What the panel's views are made of.

import { Button, type LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { IHosts } from '../ui/entries';
import { shortMoment } from '../ui/history';
import { grouped, locale, type Trans } from '../ui/words';
import type { Actions } from './actions';
import type { IFiles } from './files';
import type { PanelModel } from './model/panel';
import type { Observable, Part } from './model/part';
import type { ISections } from './model/section';

export interface IPanelContext {
  model: PanelModel;
  actions: Actions;
  trans: Trans;
  /** Draw Markdown and what tools show, neither of which anybody vouches for. */
  hosts: IHosts;
  sections: ISections;
  /** Files that can be named in messages; null where there are none. */
  files: IFiles | null;
}

export const PanelContext = React.createContext<IPanelContext | null>(null);

export function usePanel(): IPanelContext {
  const context = React.useContext(PanelContext);
  if (!context) {
    throw new Error('outside of the panel');
  }
  return context;
}

/** Draw again whenever the model changes. */
export function useModel(model: Observable): void {
  const subscribe = React.useCallback(
    (redraw: () => void) => {
      model.changed.connect(redraw);
      return () => {
        model.changed.disconnect(redraw);
      };
    },
    [model]
  );
  React.useSyncExternalStore(subscribe, () => model.version);
}

interface IIconButtonProps extends React.ButtonHTMLAttributes<HTMLButtonElement> {
  icon: LabIcon;
  label: string;
}

/** A button with an icon; its label is its tooltip and what a screen reader says. */
export function IconButton({ icon, label, className, ...props }: IIconButtonProps): JSX.Element {
  return (
    <Button
      minimal
      type="button"
      className={`lk-IconButton ${className ?? ''}`}
      title={label}
      aria-label={label}
      {...props}
    >
      <icon.react tag="span" height="14px" width="14px" />
    </Button>
  );
}

/** A button with words. */
export function TextButton(
  props: React.ButtonHTMLAttributes<HTMLButtonElement> & { accept?: boolean }
): JSX.Element {
  const { accept, ...rest } = props;
  const look = accept ? 'jp-mod-accept' : 'jp-mod-reject';
  return <button type="button" className={`jp-mod-styled lk-TextButton ${look}`} {...rest} />;
}

/** An error of a part of the panel, which can be put away. */
export function Problem({ text, onDismiss }: { text: string; onDismiss?: () => void }) {
  const { trans } = usePanel();
  if (!text) {
    return null;
  }
  return (
    <div className="lk-Problem" role="alert">
      <span dir="auto">{text}</span>
      {onDismiss && (
        <button
          type="button"
          className="lk-Problem-close"
          aria-label={trans.__('Dismiss')}
          onClick={onDismiss}
        >
          ✕
        </button>
      )}
    </div>
  );
}

/** Shown until something has been read; says so if that takes long, and why that can be. */
export function Reading(): JSX.Element {
  const { trans } = usePanel();
  const [long, setLong] = React.useState(false);
  React.useEffect(() => {
    const timer = window.setTimeout(() => setLong(true), 5000);
    return () => window.clearTimeout(timer);
  }, []);
  return (
    <p className="lk-Hint" role="status">
      {long ? trans.__('The kernel is busy. This appears when it answers.') : trans.__('Reading…')}
    </p>
  );
}

/** What a part shows: its error, that it is being read, or itself. */
export function PartBody({ part, children }: { part: Part; children: () => React.ReactNode }) {
  useModel(part);
  const dismiss = part.loaded ? () => part.dismiss() : undefined;
  return (
    <>
      <Problem text={part.error} onDismiss={dismiss} />
      {part.loaded ? children() : !part.error && <Reading />}
    </>
  );
}

export function Hint({ children }: { children: React.ReactNode }): JSX.Element {
  return <p className="lk-Hint">{children}</p>;
}

/** A number of tokens, in words. */
export function tokensWord(count: number, trans: Trans): string {
  return trans._n('%2 token', '%2 tokens', count, grouped(count));
}

/** A moment, short; the whole of it is in its tooltip. */
export function Moment({ iso }: { iso: string }): JSX.Element | null {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) {
    return null;
  }
  return (
    <time className="lk-muted lk-Moment" dateTime={iso} title={date.toLocaleString(locale())}>
      {shortMoment(iso)}
    </time>
  );
}

/** Text of anybody's, in its own direction, cut short until it is asked for. */
export function LongText({ text, limit = 400 }: { text: string; limit?: number }): JSX.Element {
  const { trans } = usePanel();
  const [whole, setWhole] = React.useState(false);
  const long = text.length > limit * 1.2;
  return (
    <div className="lk-LongText" dir="auto">
      {long && !whole ? text.slice(0, limit) + '… ' : text}
      {long && (
        <button type="button" className="lk-Link" onClick={() => setWhole(!whole)}>
          {whole ? trans.__('less') : trans.__('more')}
        </button>
      )}
    </div>
  );
}

/** Markdown, drawn by the same hand that draws the answers in cells. */
export function Markdown({ text }: { text: string }): JSX.Element {
  const { hosts } = usePanel();
  const host = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    if (host.current) {
      hosts.markdown(host.current, text);
    }
  }, [hosts, text]);
  return <div ref={host} className="lk-Markdown" dir="auto" />;
}

/** What is drawn without React. */
export function Drawn({ node, className }: { node: HTMLElement; className?: string }): JSX.Element {
  const host = React.useRef<HTMLDivElement>(null);
  React.useLayoutEffect(() => host.current?.replaceChildren(node), [node]);
  return <div ref={host} className={className} />;
}

/** What is drawn without React, and how to draw it anew. */
interface IView {
  node: HTMLElement;
  update: () => void;
}

const views = new WeakMap<Part, HTMLElement>();

/** A view of a part of the model. What a person writes in it stays when another agent is looked at. */
export function Viewed({ part, make }: { part: Part; make: () => IView }): JSX.Element {
  let node = views.get(part);
  if (!node) {
    const view = make();
    view.update();
    part.changed.connect(view.update);
    views.set(part, (node = view.node));
  }
  return <Drawn node={node} />;
}

interface ISearchProps {
  label: string;
  query: string;
  onSearch: (query: string) => void;
}

/** A search field: Enter searches, Escape and an empty field show everything again. */
export function Search({ label, query, onSearch }: ISearchProps): JSX.Element {
  const [text, setText] = React.useState(query);
  const change = (next: string) => {
    setText(next);
    if (!next && query) {
      onSearch('');
    }
  };
  return (
    <form
      role="search"
      aria-label={label}
      className="lk-Row"
      onSubmit={event => {
        event.preventDefault();
        onSearch(text);
      }}
    >
      <input
        type="search"
        className="jp-mod-styled lk-Input"
        aria-label={label}
        placeholder={label}
        dir="auto"
        value={text}
        onChange={event => change(event.target.value)}
        onKeyDown={event => event.key === 'Escape' && change('')}
      />
    </form>
  );
}

/** What is left of the panel where drawing a part of it fails: that part, in one line. */
export class Guard extends React.Component<
  { children: React.ReactNode; message: string },
  { failed: boolean }
> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): React.ReactNode {
    return this.state.failed ? (
      <div className="lk-Problem" role="alert">
        {this.props.message}
      </div>
    ) : (
      this.props.children
    );
  }
}
