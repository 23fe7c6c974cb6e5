// The timeline of an agent: its runs, steps and branches as a tree; looking back, explaining, rewinding, forking.

import { button } from './ask';
import { h, type Child } from './dom';
import type { IHosts } from './entries';
import { shortMoment } from './history';
import { keepKeys } from './keys';
import { NO_PAST, type AskPast, type IPast, type IPastBranch, type IPastRun, type IPastStep } from './past';
import { meaning } from './stopReasons';
import { told } from './told';
import { Tree, type ITreeItem } from './tree';
import { duration, grouped, money, oneLine, type Trans } from './words';

/** The line of an own branch or of the agent itself (''), as far as it was read. */
interface ILine {
  runs: IPastRun[];
  more: boolean;
}

type Row =
  | { kind: 'run'; run: IPastRun }
  | { kind: 'step'; step: IPastStep }
  | { kind: 'branch'; branch: IPastBranch };

export class TimelineView {
  constructor(
    private _ask: AskPast,
    private _hosts: IHosts,
    private _trans: Trans
  ) {
    const { _trans: trans } = this;
    this._tree = new Tree(
      trans.__('Timeline'),
      key => void this._opened(key),
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
    this._more = button(trans.__('Show older'), 'lk-mod-small', () => void this._older(''));
    this._said.setAttribute('role', 'status');
    this._wrong.setAttribute('role', 'alert');
    const head = h('div', 'lk-Memory-head', this._title, this._about);
    this.node.setAttribute('role', 'group');
    this.node.setAttribute('aria-label', trans.__('Timeline'));
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
  update(past: IPast): void {
    const { runs, more } = this._lines.get('') ?? { runs: [], more: false };
    const joint = runs.findIndex(({ id }) => id === past.runs.at(-1)?.id);
    const older = joint < 0 ? [] : runs.slice(joint + 1);
    this._past = past;
    this._lines.set('', { runs: [...past.runs, ...older], more: older.length ? more : past.more });
    for (const run of past.runs) {
      if (this._steps.get(run.id)?.length !== run.steps && this._tree.open.has(run.id)) {
        void this._opened(run.id);
      }
    }
    this._draw();
  }

  private _draw(): void {
    const { _past: past, _trans: trans } = this;
    const line = this._lines.get('');
    this._rows.clear();
    const items = this._line(line?.runs ?? [], past.branches);
    this._tree.draw(items, this._detail);
    this._more.hidden = !line?.more;
    this._undo.disabled = !past.undo;
    this._redo.disabled = !past.redo;
    this._about.textContent = items.length
      ? past.origin && trans.__('forked from %1', past.origin)
      : trans.__('Nothing was said yet.');
  }

  private _line(runs: readonly IPastRun[], branches: readonly IPastBranch[]): ITreeItem[] {
    const items: ITreeItem[] = [];
    for (const run of runs) {
      items.push(...branches.filter(({ after }) => after === run.id).map(one => this._branch(one)));
      items.push(this._run(run));
    }
    items.push(...branches.filter(({ after }) => !after).map(one => this._branch(one)));
    return items;
  }

  private _run(run: IPastRun): ITreeItem {
    const { _trans: trans } = this;
    this._rows.set(run.id, { kind: 'run', run });
    const [sign, look, word] = standing(run, trans);
    const said = run.asked || trans.__('a run');
    const facts = [
      run.of && trans.__('said to %1', run.of),
      look !== 'good' && word,
      trans._n('%1 step', '%1 steps', run.steps),
      ...figures(run, trans)
    ];
    return {
      key: run.id,
      label: [said, word, shortMoment(run.created_at)].join(', '),
      drawn: [run, sign],
      draw: () => [
        ...head(sign, look, said, run.created_at),
        h('span', 'lk-Tree-facts lk-muted lk-small', facts.filter(Boolean).join(' · ')),
        ...(run.error ? [h('span', 'lk-Tree-facts lk-Wrong', run.error)] : [])
      ],
      inside: run.steps ? (this._steps.get(run.id) ?? []).map(step => this._step(step)) : null
    };
  }

  private _step(step: IPastStep): ITreeItem {
    const { _trans: trans } = this;
    this._rows.set(step.id, { kind: 'step', step });
    const tools = step.tool_stats.map(({ name }) => name).filter(Boolean);
    const title = tools.length
      ? trans.__('Step %1: %2', step.number, oneLine(tools.join(', '), 80))
      : trans.__('Step %1', step.number);
    return {
      key: step.id,
      label: [title, step.edited && trans.__('edited by a person'), step.error].filter(Boolean).join(', '),
      drawn: step,
      draw: () => [
        h('span', 'lk-Tree-title', title),
        ...(step.edited ? [h('span', 'lk-Badge', trans.__('edited'))] : []),
        h('span', 'lk-muted lk-small', figures(step, trans).join(' · ')),
        ...(step.error ? [h('span', 'lk-Tree-facts lk-Wrong', step.error)] : [])
      ],
      inside: null
    };
  }

  private _branch(branch: IPastBranch): ITreeItem {
    const { _trans: trans } = this;
    const { id, agent, created_at, reason } = branch;
    this._rows.set(id, { kind: 'branch', branch });
    const title = agent ? trans.__('Fork: %1', agent) : trans.__('Branch left by %1', reason);
    const line = this._lines.get(id);
    return {
      key: id,
      label: [title, shortMoment(created_at)].join(', '),
      drawn: branch,
      draw: () => head('⑂', 'busy', title, created_at),
      inside: agent ? null : this._line(line?.runs ?? [], [])
    };
  }

  private async _opened(key: string): Promise<void> {
    const row = this._rows.get(key);
    this._draw();
    if (!row || row.kind === 'step' || !this._tree.open.has(key)) {
      return;
    }
    await this._try(async () => {
      if (row.kind === 'run') {
        this._steps.set(key, await this._ask<IPastStep[]>('timeline.steps', { run: key }));
      } else if (!this._lines.has(key)) {
        await this._older(key);
      }
    });
    this._draw();
  }

  /** Read a page more of a line. */
  private async _older(branch: string): Promise<void> {
    await this._try(async () => {
      const runs = this._lines.get(branch)?.runs ?? [];
      const params = { before: runs.at(-1)?.id, ...(branch ? { branch } : {}) };
      const page = await this._ask<IPast>('timeline', params);
      this._lines.set(branch, { runs: [...runs, ...page.runs], more: page.more });
    });
    this._draw();
  }

  /** Show what can be done with the chosen one. */
  private _choose(): void {
    const row = this._rows.get(this._tree.chosen ?? '');
    const { _trans: trans } = this;
    this._shown.replaceChildren();
    if (row) {
      const to = row.kind === 'branch' ? row.branch.id : row.kind === 'run' ? row.run.id : row.step.id;
      const act = (word: string, go: () => void, look = '') => button(word, `lk-mod-small ${look}`, go);
      const buttons =
        row.kind === 'branch'
          ? [
              act(trans.__('What differs'), () => this._show('timeline.diff', { with: to })),
              ...(row.branch.agent
                ? []
                : [
                    act(trans.__('Return to this end'), () =>
                      void this._do('timeline.return', { branch: to }, trans.__('This end is the line again.'))
                    )
                  ])
            ]
          : [
              act(trans.__('Look'), () => this._show('timeline.at', { at: to })),
              act(trans.__('Explain'), () => this._show('explain', { at: to })),
              act(trans.__('Rewind to here'), () => void this._askRewind(to)),
              act(trans.__('Fork from here'), () => this._askFork(to))
            ];
      this._detail.replaceChildren(h('div', 'lk-Buttons', ...buttons), this._shown);
    }
    this._draw();
  }

  /** Show what the kernel tells of a point in time. */
  private _show(method: string, params: object): void {
    this._put(told(this._ask, this._hosts, this._trans, method, params));
  }

  private async _askRewind(to: string): Promise<void> {
    const { _trans: trans } = this;
    await this._try(async () => {
      const { outside } = await this._ask<{ outside: string[] }>('timeline.outside', { to });
      const go = button(trans.__('Rewind'), 'lk-mod-bad', () =>
        void this._do('timeline.rewind', { to }, trans.__('Rewound. What came after is kept as a branch.'))
      );
      this._put(
        h('div', '', trans.__('What came after stands aside as a branch; nothing of it is deleted.')),
        ...(outside.length
          ? [
              h('div', 'lk-Warned', trans.__('What was done outside stays done:')),
              h('ul', '', ...outside.map(one => h('li', '', oneLine(one, 300))))
            ]
          : []),
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
      const said = trans.__('%1 is made: it knows what was known there.', name.value.trim());
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
      this._wrong.textContent = String(error instanceof Error ? error.message : error);
      return false;
    }
  }

  private _put(...children: Child[]): void {
    this._shown.replaceChildren(...children.filter(child => child instanceof Node));
  }

  private _past = NO_PAST;
  private _lines = new Map<string, ILine>();
  private _steps = new Map<string, IPastStep[]>();
  private _rows = new Map<string, Row>();
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
  const mark = h('span', `lk-Tree-sign lk-mod-${look}`, sign);
  mark.setAttribute('aria-hidden', 'true');
  const words = h('span', 'lk-Tree-title', title);
  words.dir = 'auto';
  words.title = title;
  return [mark, words, h('time', 'lk-muted lk-small', shortMoment(at))];
}

/** A sign for how a run stands, its look and the word. */
function standing({ status, stop_reason, waits }: IPastRun, trans: Trans): [string, string, string] {
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
