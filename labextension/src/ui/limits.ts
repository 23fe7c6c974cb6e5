// Written by labextension/generate.py from letta_kernel/display/words.py.

/** Above this share of what it may hold, something is nearly full. */
export const NEARLY_FULL = 0.9;
