// An agent's memory blocks, as a cell shows them.

import * as React from 'react';

import { MemoryView } from '../ui/memory';
import type { Trans } from '../ui/words';
import type { MemoryModel } from './model/memory';
import type { AgentModel } from './model/agent';
import { Drawn, PartBody, usePanel } from './ui';

/** What a person writes stays when another agent is looked at. */
const views = new WeakMap<MemoryModel, MemoryView>();

export function MemorySection({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  return (
    <PartBody part={agent.memory}>
      {() => <Drawn node={viewOf(agent.memory, trans).node} />}
    </PartBody>
  );
}

function viewOf(memory: MemoryModel, trans: Trans): MemoryView {
  let view = views.get(memory);
  if (!view) {
    const made = new MemoryView(memory.askBlocks, trans);
    made.update(memory.blocks);
    memory.changed.connect(() => made.update(memory.blocks));
    views.set(memory, made);
    view = made;
  }
  return view;
}
