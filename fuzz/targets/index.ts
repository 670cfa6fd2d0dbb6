/** All targets. */
import type { Target } from '../engine/target.js';
import { address } from './address.js';
import { authority } from './authority.js';
import { chunked } from './chunked.js';
import { clientHello } from './client-hello.js';
import { dns } from './dns.js';
import { events } from './events.js';
import { h2 } from './h2.js';
import { h2Frames } from './h2-frames.js';
import { head } from './head.js';
import { placeholders } from './placeholders.js';
import { policy } from './policy.js';
import { responseHead } from './response-head.js';
import { upstreamH2 } from './upstream-h2.js';
import { websocket } from './websocket.js';

export const TARGETS: readonly Target[] = [
  head,
  responseHead,
  chunked,
  authority,
  address,
  dns,
  clientHello,
  events,
  placeholders,
  h2Frames,
  h2,
  upstreamH2,
  websocket,
  policy,
];
