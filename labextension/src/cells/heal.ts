// Runs that a cell missed the end of: after a reload, or when their kernel died.

import { isCodeCellModel, type ICodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IOutput } from '@jupyterlab/nbformat';
import type { PartialJSONObject } from '@lumino/coreutils';

import type { IBridge } from '../bridge/bridge';
import { isRecord, RUN_MIME_TYPE } from '../ui/snapshot';

const WIDGET_VIEW_MIME_TYPE = 'application/vnd.jupyter.widget-view+json';
const STILL = ['running', 'waiting'];

/** An output that shows a run as if it still went on. */
interface IUnfinished {
  readonly model: ICodeCellModel;
  readonly index: number;
  readonly run: string;
  readonly snapshot: Record<string, unknown>;
}

/**
 * Looks, whenever the kernel of the notebook in front answers and when runs of its project have changed,
 * for outputs whose run has ended without their being told, and puts the stored run in their place.
 */
export class Healer {
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

  /** Heal what can be healed in a notebook now. */
  async heal(panel: NotebookPanel): Promise<void> {
    await panel.context.ready;
    for (const found of unfinished(panel)) {
      const label = typeof found.snapshot.label === 'string' ? found.snapshot.label : '';
      const stored = await this._bridge
        .request<PartialJSONObject>('run.view', { run: found.run, label })
        .catch(() => null);
      const fresh = stored?.[RUN_MIME_TYPE];
      if (stored && isRecord(fresh) && fresh.state !== found.snapshot.state && !panel.isDisposed) {
        replace(found, stored);
      }
    }
  }

  private _look(): void {
    const panel = this._bridge.panel;
    if (panel !== null && this._bridge.state === 'ready' && !this._healing) {
      this._healing = true;
      void this.heal(panel).finally(() => (this._healing = false));
    }
  }

  private _bridge: IBridge;
  private _healing = false;
}

/** The outputs of a notebook that nobody writes to any more and whose run does not look over. */
function unfinished(panel: NotebookPanel): IUnfinished[] {
  const kernel = panel.sessionContext.session?.kernel;
  const found: IUnfinished[] = [];
  for (const model of panel.content.model?.cells ?? []) {
    if (!isCodeCellModel(model) || model.executionState === 'running') {
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
        STILL.includes(String(snapshot.state)) &&
        !lives
      ) {
        found.push({ model, index, run: snapshot.run_id, snapshot });
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
