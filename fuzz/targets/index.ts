/** All targets. */
import type { Target } from '../engine/target.js';
import { address } from './address.js';
import { authority } from './authority.js';
import { chunked } from './chunked.js';
import { head } from './head.js';
import { responseHead } from './response-head.js';

export const TARGETS: readonly Target[] = [head, responseHead, chunked, authority, address];
