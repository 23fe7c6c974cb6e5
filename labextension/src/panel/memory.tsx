// An agent's memory blocks, as a cell shows them.

import * as React from 'react';

import { h } from '../ui/dom';
import { MemoryView } from '../ui/memory';
import { SleepView } from '../ui/sleep';
import type { Trans } from '../ui/words';
import type { MemoryModel } from './model/memory';
import type { AgentModel } from './model/agent';
import { Drawn, PartBody, usePanel } from './ui';

/** What a person writes stays when another agent is looked at. */
const views = new WeakMap<MemoryModel, HTMLElement>();

export function MemorySection({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  return (
    <PartBody part={agent.memory}>
      {() => <Drawn node={viewOf(agent.memory, trans)} />}
    </PartBody>
  );
}

function viewOf(memory: MemoryModel, trans: Trans): HTMLElement {
  let node = views.get(memory);
  if (!node) {
    const blocks = new MemoryView(memory.askBlocks, trans);
    const asleep = new SleepView(memory.askBlocks, trans);
    const update = () => {
      blocks.update(memory.blocks);
      asleep.update(memory.sleep);
    };
    update();
    memory.changed.connect(update);
    node = h('div', '', asleep.node, blocks.node);
    views.set(memory, node);
  }
  return node;
}
