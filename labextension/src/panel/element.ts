// What JSX becomes, under a name of its own: `short-elements.js` has the build use it.

import * as React from 'react';

export const { createElement } = React;
