// The plugins that connect JupyterLab to the kernel of the notebook in front.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

export * from './bridge';

const plugins: JupyterFrontEndPlugin<unknown>[] = [];

export default plugins;
