// The timeline of an agent: its runs, steps and branches as a tree; looking back, explaining, rewinding, forking.

import { button } from './ask';
import { h, type Child, named } from './dom';
import { shortMoment } from './history';
import { keepKeys } from './keys';
import {
  NO_PAST,
  type AskPast,
  type IPast,
  type IPastBranch,
  type IPastRun,
  type IPastStep,
  type IRewind
} from './past';
import { meaning } from './stopReasons';
import { told } from './told';
import { Tree, type ITreeItem } from './tree';
import { duration, grouped, money, oneLine, type Trans, messageOf } from './words';

/** A step or a run, an end that was left, or another agent. */
type Kind = 'point' | 'end' | 'fork';

export class TimelineView {
  constructor(
    private _ask: AskPast,
    private _trans: Trans
  ) {
    const { _trans: trans } = this;
    this._tree = new Tree(
      trans.__('Timeline'),
      () => this._draw(),
      () => this._choose()
    );
    const tool = (word: string, title: string, method: string, said: string) => {
      const made = button(word, 'lk-mod-small', () => void this._do(method, {}, said));
      made.title = title;
      return made;
    };
    this._undo = tool(
      trans.__('Undo'),
      trans.__('Take the last run back; nothing is deleted'),
      'timeline.undo',
      trans.__('The last run is taken back.')
    );
    this._redo = tool(
      trans.__('Redo'),
      trans.__('Return to where it was before the last undo or rewind'),
      'timeline.redo',
      trans.__('It is back where it was.')
    );
    this._more = button(trans.__('Show older'), 'lk-mod-small', () => void this._older());
    this._said.setAttribute('role', 'status');
    this._wrong.setAttribute('role', 'alert');
    const head = h('div', 'lk-Memory-head', this._title, this._about);
    named(this.node, 'group', trans.__('Timeline'));
    this.node.append(
      h('div', 'lk-Memory-top', head, h('div', 'lk-Buttons', this._undo, this._redo)),
      this._said,
      this._wrong,
      this._tree.node,
      this._more
    );
    keepKeys(this.node);
  }

  readonly node = h('div', 'lk-Blocks');

  set name(name: string) {
    this._title.textContent = name && this._trans.__('Timeline of %1', name);
    this._title.dir = 'auto';
  }

  /** Show the newest page; older ones that were read stay where they go on from it. */
  update(page: IPast): void {
    const { runs, branches, more } = this._past;
    const joint = runs.findIndex(({ id }) => id === page.runs.at(-1)?.id);
    const older = joint < 0 ? [] : runs.slice(joint + 1);
    const ids = new Set(older.map(({ id }) => id));
    if (page.runs[0]?.id !== runs[0]?.id) {
      this._said.textContent = ''; // it was about another line
    }
    this._past = older.length
      ? {
          ...page,
          more,
          runs: [...page.runs, ...older],
          branches: [...page.branches, ...branches.filter(({ after }) => ids.has(after) || !after)]
        }
      : page;
    this._draw();
  }

  private _draw(): void {
    const { _past: past, _trans: trans } = this;
    const { runs, branches } = past;
    this._kinds.clear();
    const items = runs.flatMap(run => [
      ...branches.filter(({ after }) => after === run.id).map(one => this._branch(one)),
      this._run(run)
    ]);
    items.push(...branches.filter(({ after }) => !after).map(one => this._branch(one)));
    this._tree.draw(items, this._detail);
    this._more.hidden = !past.more;
    this._undo.disabled = !runs.length;
    this._redo.disabled = !branches.some(({ agent }) => !agent);
    this._about.textContent = items.length
      ? past.origin && trans.__('forked from %1', past.origin)
      : trans.__('Nothing was said yet.');
  }

  private _run(run: IPastRun): ITreeItem {
    const { _trans: trans } = this;
    this._kinds.set(run.id, 'point');
    const [sign, look, word] = standing(run, trans);
    const said = run.asked || trans.__('a run');
    const facts = [
      run.of && trans.__('said to %1', run.of),
      look !== 'good' && word,
      trans._n('%1 step', '%1 steps', run.steps.length),
      ...figures(run, trans)
    ];
    return {
      key: run.id,
      label: [said, word, shortMoment(run.created_at)].join(', '),
      drawn: run,
      draw: () => [
        ...head(sign, look, said, run.created_at),
        h('span', 'lk-Tree-facts lk-muted lk-small', facts.filter(Boolean).join(' · ')),
        ...(run.error ? [h('span', 'lk-Tree-facts lk-Wrong', run.error)] : [])
      ],
      inside: run.steps.length ? run.steps.map(step => this._step(step)) : null
    };
  }

  private _step(step: IPastStep): ITreeItem {
    const { _trans: trans } = this;
    this._kinds.set(step.id, 'point');
    const title = step.tools.length
      ? trans.__('Step %1: %2', step.number, oneLine(step.tools.join(', '), 80))
      : trans.__('Step %1', step.number);
    return {
      key: step.id,
      label: [title, step.edited && trans.__('edited by a person'), step.error].filter(Boolean).join(', '),
      drawn: step,
      draw: () => [
        h('span', 'lk-Tree-title', title),
        ...(step.edited ? [h('span', 'lk-Badge', trans.__('edited'))] : []),
        h('span', 'lk-Tree-facts lk-muted lk-small', figures(step, trans).join(' · ')),
        ...(step.error ? [h('span', 'lk-Tree-facts lk-Wrong', step.error)] : [])
      ],
      inside: null
    };
  }

  private _branch(branch: IPastBranch): ITreeItem {
    const { _trans: trans } = this;
    const { id, agent, created_at, messages } = branch;
    this._kinds.set(id, agent ? 'fork' : 'end');
    const title = agent ? trans.__('Fork: %1', agent) : trans.__('An end that was left');
    const facts = agent ? '' : trans._n('%1 message', '%1 messages', messages);
    return {
      key: id,
      label: [title, facts, shortMoment(created_at)].filter(Boolean).join(', '),
      drawn: branch,
      draw: () => [
        ...head('↳', 'busy', title, created_at),
        ...(facts ? [h('span', 'lk-Tree-facts lk-muted lk-small', facts)] : [])
      ],
      inside: null
    };
  }

  private async _older(): Promise<void> {
    await this._try(async () => {
      const { runs, branches } = this._past;
      const page = await this._ask<IPast>('timeline', { before: runs.at(-1)?.id });
      this._past = {
        ...this._past,
        more: page.more,
        runs: [...runs, ...page.runs],
        branches: [...branches, ...page.branches]
      };
    });
    this._draw();
  }

  /** Show what can be done with the chosen one. */
  private _choose(): void {
    const { _trans: trans } = this;
    const to = this._tree.chosen ?? '';
    const kind = this._kinds.get(to);
    const tell = (word: string, method: string, params: object) =>
      act(word, () => this._put(told(this._ask, trans, method, params)));
    const act = (word: string, go: () => void) => button(word, 'lk-mod-small', go);
    const back = () => void this._do('timeline.rewind', { to }, trans.__('This end is the line again.'));
    const buttons = [
      kind !== 'fork' && tell(trans.__('Look'), 'timeline.at', { at: to }),
      kind === 'point' && tell(trans.__('Explain'), 'explain', { at: to }),
      kind !== 'point' && tell(trans.__('What differs'), 'timeline.diff', { other: to }),
      kind === 'point' && act(trans.__('Rewind to here'), () => void this._askRewind(to)),
      kind === 'end' && act(trans.__('Return to this end'), back),
      kind !== 'fork' && act(trans.__('Fork from here'), () => this._askFork(to))
    ];
    this._put();
    this._detail.replaceChildren(h('div', 'lk-Buttons', ...buttons), this._shown);
    this._draw();
  }

  private async _askRewind(to: string): Promise<void> {
    const { _trans: trans } = this;
    await this._try(async () => {
      const would = await this._ask<IRewind>('timeline.preview', { to });
      const go = button(trans.__('Rewind'), 'lk-mod-bad', () =>
        void this._do('timeline.rewind', { to }, trans.__('Rewound. What came after is kept as an end that was left.'))
      );
      const listed = (title: string, lines: readonly string[], look = '') =>
        lines.length ? [h('div', look, title), h('ul', '', ...lines.map(one => h('li', '', oneLine(one, 300))))] : [];
      this._put(
        h(
          'div',
          '',
          trans._n('%1 run is taken back.', '%1 runs are taken back.', would.runs),
          ' ',
          trans.__('Nothing is deleted: it is kept as an end that you can return to.')
        ),
        ...listed(trans.__('Memory that changes back:'), would.blocks),
        ...listed(trans.__('Also changes back:'), would.changed),
        ...listed(trans.__('Stays as it is:'), would.left),
        ...listed(trans.__('What was done outside cannot be taken back:'), would.outside, 'lk-Warned'),
        h('div', 'lk-Buttons', go, this._cancel())
      );
      go.focus();
    });
  }

  private _askFork(to: string): void {
    const { _trans: trans } = this;
    const name = h('input', 'lk-Field');
    const label = trans.__('Name of the new agent');
    name.placeholder = label;
    name.setAttribute('aria-label', label);
    name.dir = 'auto';
    const go = () => {
      const said = trans.__('%1 is made; %agent use %1 talks to it.', name.value.trim());
      void this._do('timeline.fork', { name: name.value.trim(), at: to }, said);
    };
    name.addEventListener('keydown', event => {
      if (event.key === 'Enter' && !event.isComposing) {
        go();
      }
    });
    this._put(name, h('div', 'lk-Buttons', button(trans.__('Fork'), 'lk-mod-good', go), this._cancel()));
    name.focus();
  }

  private _cancel(): HTMLButtonElement {
    return button(this._trans.__('Cancel'), '', () => {
      this._put();
      this._tree.focus(this._tree.chosen);
    });
  }

  /** Have the kernel change something. */
  private async _do(method: string, params: object, said: string): Promise<void> {
    const done = await this._try(async () => {
      await this._ask(method, params);
      this._put();
      this._said.textContent = said;
    });
    if (done) {
      this._tree.focus(this._tree.chosen);
    }
  }

  private async _try(work: () => Promise<void>): Promise<boolean> {
    this._wrong.textContent = this._said.textContent = '';
    try {
      await work();
      return true;
    } catch (error) {
      this._wrong.textContent = messageOf(error);
      return false;
    }
  }

  private _put(...children: Child[]): void {
    this._shown.replaceChildren(...children.filter(child => child instanceof Node));
  }

  private _past: IPast = NO_PAST;
  private _kinds = new Map<string, Kind>();
  private _tree: Tree;
  private _title = h('b', '');
  private _about = h('span', 'lk-muted lk-small');
  private _undo: HTMLButtonElement;
  private _redo: HTMLButtonElement;
  private _more: HTMLButtonElement;
  private _said = h('div', 'lk-small');
  private _wrong = h('div', 'lk-Wrong');
  private _shown = h('div', '');
  private _detail = h('div', 'lk-Past-detail');
}

function head(sign: string, look: string, title: string, at: string): HTMLElement[] {
  const mark = h('span', `lk-Sign lk-mod-${look}`, sign);
  mark.setAttribute('aria-hidden', 'true');
  const words = h('span', 'lk-Tree-title', title);
  words.dir = 'auto';
  words.title = title;
  return [mark, words, h('time', 'lk-muted lk-small', shortMoment(at))];
}

/** A sign for how a run stands, its look and the word. */
export function standing(
  { status, stop_reason, waits }: Pick<IPastRun, 'status' | 'stop_reason' | 'waits'>,
  trans: Trans
): [string, string, string] {
  if (waits) {
    return ['◇', 'warn', trans.__('waits for approval')];
  }
  if (stop_reason !== null && meaning(stop_reason) === 'waits') {
    return ['⊘', 'muted', trans.__('not decided')];
  }
  switch (status) {
    case 'completed':
      return ['✓', 'good', trans.__('completed')];
    case 'failed':
      return ['✗', 'bad', trans.__('failed')];
    case 'cancelled':
      return ['■', 'muted', trans.__('cancelled')];
    default:
      return ['◌', 'busy', trans.__('running')];
  }
}

function figures(one: IPastRun | IPastStep, trans: Trans): string[] {
  const tokens = one.prompt_tokens + one.completion_tokens;
  return [
    tokens ? trans._n('%2 token', '%2 tokens', tokens, grouped(tokens)) : '',
    one.seconds === null ? '' : duration(one.seconds),
    one.cost ? money(one.cost) : ''
  ].filter(Boolean);
}
