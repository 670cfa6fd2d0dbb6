/** The programs that the inner door stands on: where they are, and how to get them. */

/** Absolute paths. */
export interface Tools {
  readonly unshare: string;
  readonly nsenter: string;
  readonly setpriv: string;
  readonly ip: string;
  readonly nft: string;
  readonly bwrap: string;
  readonly sh: string;
}
