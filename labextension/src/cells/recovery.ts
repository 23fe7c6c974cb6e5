// Runs that a cell missed the end of: after a reload, or when their kernel died.

import { isCodeCellModel, type ICodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IOutput } from '@jupyterlab/nbformat';
import type { PartialJSONObject } from '@lumino/coreutils';

import type { IBridge } from '../bridge/bridge';
import { isRecord, RUN_MIME_TYPE } from '../ui/snapshot';

const WIDGET_VIEW_MIME_TYPE = 'application/vnd.jupyter.widget-view+json';
const STILL = ['running', 'waiting'];
/** Milliseconds until a run that still looks unfinished is looked at once more: its kernel may be just ending. */
const AGAIN = 2000;

/** An output that shows a run as if it still went on. */
interface IUnfinished {
  readonly model: ICodeCellModel;
  readonly index: number;
  readonly run: string;
  readonly snapshot: Record<string, unknown>;
  /** Somebody still writes to it: its cell is running, or its widget lives. */
  readonly watched: boolean;
}

/**
 * Looks, whenever the kernel of the notebook in front answers and when runs of its project have changed,
 * for outputs whose run has ended without their being told, and puts the stored run in their place.
 */
export class RunRecovery {
  constructor(bridge: IBridge) {
    this._bridge = bridge;
    bridge.stateChanged.connect(this._look, this);
    bridge.notebookChanged.connect(this._look, this);
    bridge.changed.connect((_, change) => {
      if (change.what.includes('runs')) {
        this._look();
      }
    });
    this._look();
  }

  /** Recover what can be recovered in a notebook now; say whether an output still looks as if its run went on. */
  async recover(panel: NotebookPanel): Promise<boolean> {
    await panel.context.ready;
    for (const found of unfinished(panel)) {
      if (found.watched) {
        continue;
      }
      const label = typeof found.snapshot.label === 'string' ? found.snapshot.label : '';
      const stored = await this._bridge
        .request<PartialJSONObject>('run.view', { run: found.run, label })
        .catch(() => null);
      const fresh = stored?.[RUN_MIME_TYPE];
      if (stored && isRecord(fresh) && fresh.state !== found.snapshot.state && !panel.isDisposed) {
        replace(found, stored);
      }
    }
    return !panel.isDisposed && unfinished(panel).some(({ snapshot }) => snapshot.state === 'running');
  }

  private _look(): void {
    const panel = this._bridge.panel;
    if (panel === null || this._bridge.state !== 'ready') {
      return;
    }
    if (this._healing) {
      this._missed = true;
      return;
    }
    clearTimeout(this._timer);
    this._healing = true;
    this._missed = false;
    void this.recover(panel).then(left => {
      this._healing = false;
      if (this._missed || left) {
        this._timer = setTimeout(() => this._look(), this._missed ? 0 : AGAIN);
      }
    });
  }

  private _bridge: IBridge;
  private _healing = false;
  /** Whether there was a reason to look while one look was under way. */
  private _missed = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** The outputs of a notebook whose run does not look over. */
function unfinished(panel: NotebookPanel): IUnfinished[] {
  const kernel = panel.sessionContext.session?.kernel;
  const found: IUnfinished[] = [];
  for (const model of panel.content.model?.cells ?? []) {
    if (!isCodeCellModel(model)) {
      continue;
    }
    for (let index = 0; index < model.outputs.length; index++) {
      const { data } = model.outputs.get(index);
      const snapshot = data[RUN_MIME_TYPE];
      const view = data[WIDGET_VIEW_MIME_TYPE];
      const lives =
        isRecord(view) && typeof view.model_id === 'string' && kernel?.hasComm(view.model_id);
      if (
        isRecord(snapshot) &&
        typeof snapshot.run_id === 'string' &&
        snapshot.run_id !== '' &&
        STILL.includes(String(snapshot.state))
      ) {
        const watched = model.executionState === 'running' || lives === true;
        found.push({ model, index, run: snapshot.run_id, snapshot, watched });
      }
    }
  }
  return found;
}

/** Put the stored run where the unfinished one is, unless the cell has other outputs meanwhile. */
function replace({ model, index, run }: IUnfinished, data: PartialJSONObject): void {
  const now = index < model.outputs.length ? model.outputs.get(index) : null;
  const there = now?.data[RUN_MIME_TYPE];
  if (now && isRecord(there) && there.run_id === run) {
    model.outputs.set(index, { ...now.toJSON(), data } as IOutput);
  }
}
