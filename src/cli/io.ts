/** Where a command writes: the process's streams, or a test's. */
export interface TextIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}
