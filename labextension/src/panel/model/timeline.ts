// An agent's past as its timeline shows it, read again after whatever may have changed it.

import { NO_PAST, type AskPast, type IPast } from '../../ui/past';
import { Part } from './part';

export class TimelineModel extends Part {
  past: IPast = NO_PAST;

  /** Ask about this agent's past. When it is answered, the past is known as it is then. */
  readonly askPast: AskPast = (method, params) => this.askedOf(method, params);

  protected async read(): Promise<void> {
    this.past = await this.ask<IPast>('timeline', { agent: this.agent });
  }
}
