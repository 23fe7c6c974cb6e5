// A section below the chosen agent, and all that a panel shows.

import type * as React from 'react';

import type { Trans } from '../../ui/words';
import type { AgentModel } from './agent';
import type { Observable } from './part';
import type { IAgent } from './records';

export interface ISection {
  /** What it is known by; which sections are open is remembered under it. */
  id: string;
  title: (trans: Trans) => string;
  /** What it shows of the chosen agent; drawn while it is open. */
  body: React.ComponentType<{ agent: AgentModel; state: IAgent }>;
}

/** The sections of a panel, in order; others may come and go. */
export interface ISections extends Observable {
  readonly all: readonly ISection[];
}
