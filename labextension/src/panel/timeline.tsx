// An agent's past, as a cell shows it.

import * as React from 'react';

import { TimelineView } from '../ui/timeline';
import type { AgentModel } from './model/agent';
import { Plot } from './plots';
import { PartBody, usePanel, Viewed } from './ui';

export function TimelineSection({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  const { timeline } = agent;
  const make = () => {
    const view = new TimelineView(timeline.askPast, trans);
    return { node: view.node, update: () => view.update(timeline.past) };
  };
  return (
    <PartBody part={timeline}>
      {() => (
        <>
          <Viewed part={timeline} make={make} />
          <Plot plot={agent.plots.branches} title={trans.__('Branches as a graph')} />
        </>
      )}
    </PartBody>
  );
}
