// An agent's past as a graph: a lane for each line, the newest on top.

import { svg } from './chartsvg';
import { h } from './dom';
import { shortMoment } from './history';
import { oneLine, type Trans } from './words';

/** A run, an end that was left, or a fork, with the lane it is on; lane 0 is the agent's own. */
export interface INode {
  kind: 'run' | 'end' | 'fork' | 'fork_run';
  lane: number;
  /** The index of the node it goes on from; null: it is older than what is shown. */
  parent: number | null;
  name: string;
  about: string;
  ref: string;
  moment: string | null;
  failed: boolean;
}

const ROW = 24; // pixels, as style/plots.css has them
const LANE = 16;
const HUES = 9;
const MOST_LANES = 8; // those of very many forks lie on one another

/** Draw nodes, which come oldest first. */
export function drawGraph(nodes: readonly INode[], trans: Trans): HTMLElement {
  const lane = (node: INode) => Math.min(node.lane, MOST_LANES - 1);
  const lanes = Math.max(...nodes.map(lane)) + 1;
  const [width, height] = [lanes * LANE, nodes.length * ROW];
  const x = (node: INode) => lane(node) * LANE + LANE / 2;
  const y = (index: number) => (nodes.length - 1 - index) * ROW + ROW / 2;
  const drawn = svg('svg', { width: `${width}`, height: `${height}`, 'aria-hidden': 'true' });
  nodes.forEach((node, index) => {
    const { parent, kind } = node;
    if (parent === null && (kind === 'run' || kind === 'fork_run')) {
      return;
    }
    const from = parent === null ? LANE / 2 : x(nodes[parent]);
    const below = parent === null ? height : y(parent);
    const bend = Math.min(ROW * 0.7, below - y(index));
    const turn = from === x(node) ? '' : `C${from} ${below - bend} ${x(node)} ${below} ${x(node)} ${below - bend}`;
    const look = `lk-Chart-edge-${kind === 'end' ? 'end' : 'run'} ${hue(node)}`;
    drawn.append(svg('path', { d: `M${from} ${below} ${turn} L${x(node)} ${y(index)}`, class: look }));
  });
  nodes.forEach((node, index) => {
    drawn.append(sign(node, x(node), y(index)));
  });
  const list = h('ol', 'lk-List lk-Graph-rows');
  list.setAttribute('aria-label', trans.__('Branches, newest first'));
  for (const node of [...nodes].reverse()) {
    const failed = node.failed && trans.__('failed');
    const facts = [node.name, failed, node.moment && shortMoment(node.moment)].filter(Boolean).join(' · ');
    const about = oneLine(node.about, 80);
    const row = h('li', '', about && `${about} `, h('span', 'lk-muted lk-Small', facts));
    row.title = `${about && `${about} · `}${facts} · ${node.ref}`;
    row.dir = 'auto';
    list.append(row);
  }
  return h('div', 'lk-Graph', h('div', 'lk-Graph-lanes', drawn as unknown as HTMLElement), list);
}

function hue({ lane }: INode): string {
  return `lk-plot-${lane % HUES}`;
}

function sign(node: INode, x: number, y: number): SVGElement {
  const look = `lk-Graph-${node.kind} ${hue(node)}${node.failed ? ' lk-mod-failed' : ''}`;
  if (node.kind === 'fork') {
    return svg('path', { d: `M${x} ${y - 6} l6 6 l-6 6 l-6 -6 Z`, class: look });
  }
  if (node.kind === 'end') {
    return svg('path', { d: `M${x - 4} ${y - 4} l8 8 m0 -8 l-8 8`, class: look });
  }
  return svg('circle', { cx: `${x}`, cy: `${y}`, r: '5', class: look });
}
