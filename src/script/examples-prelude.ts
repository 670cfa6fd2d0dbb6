/**
 * What a file of examples has besides: `example`, which notes what is to be asked and what is expected. Nothing is asked
 * here: the notes are run against the policy script afterwards, through everything that a real call goes through.
 *
 * Pure: text. Its value gives the notes as JSON.
 */
import { HOOKS } from '../policy/hooks.js';

export const EXAMPLES = `(() => {
  'use strict';
  const { stringify, parse } = JSON;
  const RealDate = Date;
  const steps = [];
  let at = null, fresh = true;
  const note = (hook, input) => {
    const step = { hook, input: parse(stringify(input)), at, fresh, stack: new Error('here').stack, expect: null };
    fresh = false;
    steps[steps.length] = step;
    const expects = kind => value => {
      if (step.expect !== null) throw new TypeError('an example has one expectation');
      step.expect = { kind, value: value === undefined ? null : parse(stringify(value)) };
    };
    const denies = expects('denies'), fails = expects('fails');
    return {
      allows: expects('allows'), passes: expects('passes'), denies, fails,
      rewrites: expects('rewrites'), responds: expects('responds'), annotates: expects('annotates'),
    };
  };
  const example = request => note('onRequest', request);
  for (const hook of ${JSON.stringify(HOOKS)}) example[hook] = input => note(hook, input);
  example.at = time => {
    at = typeof time === 'number' ? time : RealDate.parse(time);
    if (!(at >= 0)) throw new TypeError('example.at takes a time such as 2026-01-05T09:00:00Z');
  };
  example.fresh = () => { fresh = true; };
  Object.defineProperty(globalThis, 'example', { value: Object.freeze(example), writable: false });
  return () => stringify(steps);
})()`;
