// What is known of runs that a kernel tells of: each of their events is passed on once and in order.

import type { IEvent } from './items';

/** Runs that are remembered, so that nothing of them is passed on twice. */
const MOST_RUNS = 500;

/** Events of a run after one number up to and with another, as `letta_kernel.service.event_json` says. */
export interface IEvents {
  readonly run_id: string;
  readonly agent_id: string;
  readonly after: number;
  readonly until: number;
  readonly events: readonly IEvent[];
}

export class Followed {
  /**
   * @param _ask - Ask the kernel for what follows a number.
   * @param _pass - Hears of events that follow on what was passed on before.
   */
  constructor(
    private _ask: (runId: string, after: number) => void,
    private _pass: (message: IEvents) => void
  ) {}

  /** Pass on what follows what is known; ask for what was missed before it. */
  take(message: IEvents): void {
    const { run_id, after, until } = message;
    const run = this._known(run_id);
    run.heard = Math.max(run.heard, until);
    if (after === run.seen) {
      run.seen = until;
      run.group ||= message.events.some(({ type }) => type === 'group_started');
      const end = run.group ? 'group_ended' : 'run_ended'; // the runs of a group's agents end before it
      run.over = message.events.some(({ type }) => type === end);
      this._pass(message);
    }
    if (run.seen < run.heard && run.asked !== run.seen) {
      run.asked = run.seen;
      this._ask(run_id, run.seen);
    }
  }

  /** Ask for what follows of every run that is not over: nothing may have been heard of it. */
  askAgain(): void {
    for (const [runId, { seen, over }] of this._runs) {
      if (!over) {
        this._ask(runId, seen);
      }
    }
  }

  private _known(runId: string): IKnown {
    let run = this._runs.get(runId);
    if (!run) {
      run = { seen: 0, heard: 0, asked: -1, over: false, group: false };
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
  over: boolean;
  /** Whether it is a turn of a group. */
  group: boolean;
}
