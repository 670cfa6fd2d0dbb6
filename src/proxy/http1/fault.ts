/**
 * What is wrong with a request, and the status that says so (RFC 9110 §15.5, §15.6). Pure.
 */
export interface RequestFault {
  readonly status: number;
  /** Stands in the event and in the answer: stable, never holds what the sandbox wrote. */
  readonly code: RequestFaultCode;
}

const STATUS = {
  'bad-request-line': 400,
  'bad-line-end': 400,
  'bad-version': 400,
  'unsupported-version': 505,
  'method-not-supported': 405,
  'bad-target': 400,
  'wrong-scheme': 400,
  'target-too-long': 414,
  'head-too-large': 431,
  'too-many-fields': 431,
  'bad-field-name': 400,
  'bad-field-value': 400,
  'ambiguous-field-name': 400,
  'obs-fold': 400,
  'bad-connection': 400,
  'nominated-end-to-end': 400,
  'no-host': 400,
  'bad-host': 400,
  'host-and-target-differ': 400,
  'not-a-proxy': 400,
  'not-an-origin': 400,
  /** Plain HTTP: the host or port is not what this connection was opened to. */
  'host-not-of-flow': 403,
  /** Inside TLS: the host or port is not what the handshake was for (RFC 9110 §15.5.20). */
  'host-not-of-handshake': 421,
  'length-and-coding': 400,
  'bad-content-length': 400,
  'bad-transfer-coding': 400,
  'content-too-large': 413,
  'content-not-expected': 400,
  'bad-expectation': 417,
  'bad-upgrade': 400,
  'bad-chunk-size': 400,
  'bad-chunk-extension': 400,
  'bad-chunk-end': 400,
  'forbidden-trailer': 400,
  'truncated-head': 400,
  'truncated-content': 400,
  'slow-head': 408,
  'slow-content': 408,
} as const;

export type RequestFaultCode = keyof typeof STATUS;

export function requestFault(code: RequestFaultCode): RequestFault {
  return { status: STATUS[code], code };
}

/** The JSON content of a fault's answer, null for none; or another, graver answer. */
export type FaultAnswer = Uint8Array | null | GraverAnswer;

export interface GraverAnswer {
  readonly status: number;
  readonly content: Uint8Array;
}

/** The status and the content that `given` makes of a fault. */
export function answerOf(
  given: FaultAnswer,
  { status }: Pick<RequestFault, 'status'>,
): { readonly status: number; readonly content: Uint8Array | null } {
  return given === null || given instanceof Uint8Array ? { status, content: given } : given;
}
