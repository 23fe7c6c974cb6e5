// An agent's memory blocks, as a cell shows them.

import * as React from 'react';

import { h } from '../ui/dom';
import { MemoryView } from '../ui/memory';
import { SleepView } from '../ui/sleep';
import type { AgentModel } from './model/agent';
import type { IAgent } from './model/records';
import { Plot } from './plots';
import { PartBody, usePanel, Viewed } from './ui';

interface IProps {
  agent: AgentModel;
  state: IAgent;
}

export function MemorySection({ agent, state }: IProps): JSX.Element {
  const { trans } = usePanel();
  const { memory } = agent;
  const make = () => {
    const blocks = new MemoryView(memory.askBlocks, trans, state.shared !== undefined);
    const asleep = new SleepView(memory.askBlocks, trans);
    const update = () => {
      blocks.update(memory.blocks);
      asleep.update(memory.sleep);
    };
    return { node: h('div', '', asleep.node, blocks.node), update };
  };
  return (
    <PartBody part={memory}>
      {() => (
        <>
          <Viewed part={memory} make={make} />
          {!state.shared && <Plot plot={agent.plots.memory} title={trans.__('Memory over time')} />}
        </>
      )}
    </PartBody>
  );
}
