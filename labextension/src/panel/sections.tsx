// The sections below the chosen agent, in order: ours, and those of others, who join in the same way.

import { Token } from '@lumino/coreutils';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

import { ArchiveSection } from './archive';
import { ChatSection } from './chat';
import { ContextSection } from './context';
import { DebuggerSection } from './debugger';
import { MemorySection } from './memory';
import { MessagesSection } from './messages';
import { Observable } from './model/part';
import type { ISection } from './model/section';
import { RunsSection } from './runs';
import { TimelineSection } from './timeline';
import { ToolsSection } from './tools';

export interface IPanelSections {
  /** Add a section at the end, until what is returned is disposed of. */
  add(section: ISection): IDisposable;
}

export const IPanelSections = new Token<IPanelSections>(
  'letta-kernel:IPanelSections',
  'The sections of the Agents panel, to which others can add theirs.'
);

export class PanelSections extends Observable implements IPanelSections {
  all: readonly ISection[] = [
    { id: 'chat', title: trans => trans.__('Chat'), body: ChatSection },
    { id: 'memory', title: trans => trans.__('Memory'), body: MemorySection },
    { id: 'context', title: trans => trans.__('Context window'), body: ContextSection },
    { id: 'tools', title: trans => trans.__('Tools'), body: ToolsSection },
    { id: 'archive', title: trans => trans.__('Archive'), body: ArchiveSection },
    { id: 'messages', title: trans => trans.__('Messages'), body: MessagesSection },
    { id: 'runs', title: trans => trans.__('Runs'), body: RunsSection },
    { id: 'timeline', title: trans => trans.__('Timeline'), body: TimelineSection },
    { id: 'debugger', title: trans => trans.__('Debugger'), body: DebuggerSection }
  ];

  add(section: ISection): IDisposable {
    if (this.all.some(({ id }) => id === section.id)) {
      throw new Error(`The Agents panel has a section "${section.id}" already.`);
    }
    this._set([...this.all, section]);
    return new DisposableDelegate(() => this._set(this.all.filter(one => one !== section)));
  }

  private _set(all: readonly ISection[]): void {
    this.all = all;
    this.emit();
  }
}
