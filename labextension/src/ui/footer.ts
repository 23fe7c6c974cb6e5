// The figures below a transcript: how it ended, what it took, and what it cost.

import { oneLine } from './clean';
import type { Fields } from './parts';
import { isRecord } from './snapshot';

const TOKENS = ['prompt_tokens', 'completion_tokens', 'cached_tokens', 'reasoning_tokens'];

/** The figures of a run so far, with those of the runs that it goes on from. */
export class Footer {
  /** As the snapshot has them: times in seconds, the cost in dollars. */
  readonly figures: Fields = {
    ...{ stop_reason: null, error: null, steps: 0, seconds: null, first_token: null },
    ...{ prompt_tokens: 0, completion_tokens: 0, cached_tokens: 0, reasoning_tokens: 0, cost: null }
  };

  /** Let another run begin, whose figures come on top. */
  goOn(): void {
    this._before = { ...this.figures };
  }

  /** Add the figures of a step. */
  add(event: Fields): void {
    const { figures } = this;
    const usage = isRecord(event.usage) ? event.usage : {};
    figures.steps = Number(figures.steps) + (Number(event.number) > 0 ? 1 : 0);
    figures.seconds = Number(figures.seconds ?? 0) + Number(event.seconds);
    figures.first_token ??= event.first_token ?? null;
    for (const name of TOKENS) {
      figures[name] = Number(figures[name]) + Number(usage[name] ?? 0);
    }
    figures.cost = sum(figures.cost, usage.cost);
  }

  /** Put what the end of the run says in place of what its steps have added up to. */
  end(event: Fields): void {
    const said: Fields = { ...(isRecord(event.usage) ? event.usage : {}), ...event };
    for (const name of ['steps', 'seconds', ...TOKENS, 'cost']) {
      this.figures[name] = sum(this._before[name], said[name]);
    }
    this.figures.stop_reason = event.stop_reason;
    this.figures.error = event.error ? oneLine(event.error, 1_000) : null;
    if (event.type === 'run_ended') {
      this.figures.first_token = this._before.first_token ?? event.first_token ?? null;
    }
  }

  /** Say that it was stopped, where no end was told. */
  interrupt(): void {
    this.figures.stop_reason ||= 'cancelled';
  }

  /** The figures of the runs this one goes on from. */
  private _before: Fields = { ...this.figures };
}

function sum(one: unknown, other: unknown): number | null {
  const known = [one, other].filter(value => typeof value === 'number');
  return known.length ? known.reduce((all, value) => all + value, 0) : null;
}
