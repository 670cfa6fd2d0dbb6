/** Where a command writes, so that a test can read it, and how it ends. */
export interface Io {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Whether stderr may be coloured. */
  readonly colour: boolean;
}

export function processIo(): Io {
  return {
    stdout: text => void process.stdout.write(text),
    stderr: text => void process.stderr.write(text),
    colour: process.stderr.isTTY === true && !process.env.NO_COLOR,
  };
}

/**
 * Exit codes, as GNU env has them: 124 (timeout's) we ended it, by a secret's `on_leak`; 125 sallyport itself failed, 126 the command cannot be run, 127 there is no
 * such command, 128+n it died of signal n; else the command's own.
 */
export const EXIT_STOPPED = 124;
export const EXIT_OWN_FAILURE = 125;
export const EXIT_NOT_EXECUTABLE = 126;
export const EXIT_NOT_FOUND = 127;

export const EXIT_OK = 0;

/** `check`, `explain` and friends: bad usage or an invalid policy. */
export const EXIT_USAGE = 2;
