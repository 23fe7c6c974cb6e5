// What is known of the runs of one kernel: each of their events is passed on once and in order.

import type { IDeskEvent } from './bridge';

/** Runs that are remembered, so that nothing of them is passed on twice. */
const MOST_RUNS = 500;

/** Events of a run after one number up to and with another, as letta_kernel.service.event_json says. */
export interface IEvents {
  readonly run_id: string;
  readonly agent_id: string;
  readonly after: number;
  readonly until: number;
  readonly events: readonly IDeskEvent['event'][];
}

export class Followed {
  constructor(
    private _ask: (runId: string, after: number) => void,
    private _pass: (event: IDeskEvent) => void
  ) {}

  /** Pass on what follows what is known; ask for what was missed before it. */
  take({ run_id, agent_id, after, until, events }: IEvents): void {
    const run = this._known(run_id);
    run.heard = Math.max(run.heard, until);
    if (after === run.seen) {
      run.seen = until;
      for (const event of events) {
        this._pass({ run_id, agent_id, event });
      }
    }
    if (run.seen < run.heard && run.asked !== run.seen) {
      run.asked = run.seen;
      this._ask(run_id, run.seen);
    }
  }

  private _known(runId: string): IKnown {
    let run = this._runs.get(runId);
    if (!run) {
      run = { seen: 0, heard: 0, asked: -1 };
      this._runs.set(runId, run);
      if (this._runs.size > MOST_RUNS) {
        this._runs.delete(this._runs.keys().next().value!);
      }
    }
    return run;
  }

  private _runs = new Map<string, IKnown>();
}

interface IKnown {
  /** The number up to which its events were passed on. */
  seen: number;
  /** The newest number that there is. */
  heard: number;
  /** After which number the rest was asked for last. */
  asked: number;
}
