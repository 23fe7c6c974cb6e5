// The panel's icon: an agent, in the colours of the theme.

import { LabIcon } from '@jupyterlab/ui-components';

/** A head with two eyes that speaks: what letta-kernel puts into a notebook. */
export const agentIcon = new LabIcon({
  name: 'letta-kernel:agent',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" stroke="#616161" stroke-width="1.8" stroke-linecap="round"
    stroke-linejoin="round">
    <path fill="none"
      d="M7 6h10a3 3 0 0 1 3 3v6a3 3 0 0 1-3 3h-4l-4 3.2V18H7a3 3 0 0 1-3-3V9a3 3 0 0 1 3-3z"/>
    <path fill="none" d="M12 6V3.2"/>
  </g>
  <g class="jp-icon3" fill="#616161">
    <circle cx="12" cy="2.6" r="1.4"/>
    <circle cx="9" cy="12" r="1.5"/>
    <circle cx="15" cy="12" r="1.5"/>
  </g>
</svg>`
});
