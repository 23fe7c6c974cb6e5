// A plot in a section of the panel, shown when it is opened.

import * as React from 'react';

import { ChartView, type IChart } from '../ui/chart';
import type { PlotModel } from './model/plot';
import { Drawn, Hint, Reading, useModel, usePanel } from './ui';

export function Plot({ plot, title }: { plot: PlotModel; title: string }): JSX.Element {
  useModel(plot);
  return (
    <details
      className="lk-Fold"
      open={plot.open}
      onToggle={event => plot.toggle(event.currentTarget.open)}
    >
      <summary>{title}</summary>
      {plot.open && <Shown plot={plot} />}
    </details>
  );
}

function Shown({ plot }: { plot: PlotModel }): JSX.Element {
  if (plot.error) {
    return <Hint>{plot.error}</Hint>; // that there is nothing to see yet is no mishap
  }
  return plot.chart ? <Chart chart={plot.chart} /> : <Reading />;
}

function Chart({ chart }: { chart: IChart }): JSX.Element {
  const { trans } = usePanel();
  const view = React.useMemo(() => new ChartView(trans), [trans]);
  React.useLayoutEffect(() => view.update(chart), [view, chart]);
  return <Drawn node={view.node} />;
}
