/**
 * The first code in every script's realm: the globals that a script has beside the language, and the way in.
 *
 * Pure: text. It runs before the script does and keeps what it needs of the language to itself, so that a script that
 * redefines `JSON.parse` only cheats itself. Its value is an object that the script never sees.
 *
 * The realm has one clock, `now()`, which stands still during a call; `Date` follows it. There is no randomness, so
 * that a recorded event gives the same answer again.
 */

/** Most text of a `state`, in UTF-16 code units. */
export const STATE_UNITS = 65_536;

/** Most text of an answer. */
export const ANSWER_UNITS = 262_144;

/** Of one call: most lines of `log()`, and the longest of them. */
export const LOG_LINES = 16;
export const LOG_UNITS = 1_024;

export const PRELUDE = `(() => {
  'use strict';
  const { parse, stringify } = JSON;
  const { isFinite } = Number;
  const { defineProperty, keys } = Object;
  const { apply, construct } = Reflect;
  const RealDate = Date, RealPromise = Promise, Internal = InternalError, RealString = String;
  const slice = String.prototype.slice;
  const cut = (text, units) => apply(slice, text, [0, units]);

  let clock = 0, state = {}, stateText = '{}', lines = [], unsaid = 0;
  const set = (target, name, value) =>
    defineProperty(target, name, { value, writable: false, enumerable: false, configurable: false });

  const textOf = value => (typeof value === 'string' ? value : stringify(value) ?? RealString(value));
  set(globalThis, 'now', () => clock);
  set(globalThis, 'log', (...parts) => {
    if (lines.length >= ${LOG_LINES}) { unsaid += 1; return; }
    let line = '';
    for (let i = 0; i < parts.length && line.length < ${LOG_UNITS}; i++) line += (i ? ' ' : '') + textOf(parts[i]);
    lines[lines.length] = cut(line, ${LOG_UNITS});
  });
  defineProperty(globalThis, 'state', { get: () => state, enumerable: false, configurable: false });

  function FixedDate(...parts) {
    if (new.target === undefined) return new RealDate(clock).toString();
    return construct(RealDate, parts.length === 0 ? [clock] : parts, new.target);
  }
  set(FixedDate, 'prototype', RealDate.prototype);
  set(FixedDate, 'now', () => clock);
  set(FixedDate, 'parse', RealDate.parse);
  set(FixedDate, 'UTC', RealDate.UTC);
  defineProperty(RealDate.prototype, 'constructor', { value: FixedDate });
  defineProperty(globalThis, 'Date', { value: FixedDate, writable: false, configurable: false });
  delete Math.random;
  // An answer is what it looks like, whatever was put into the prototypes.
  set(Object.prototype, 'toJSON', undefined);

  const plain = (key, value) => {
    const kind = typeof value;
    if (kind === 'function' || kind === 'symbol' || kind === 'undefined' || kind === 'bigint')
      throw new TypeError('the answer holds a ' + kind + ' at ' + stringify(key));
    if (kind === 'number' && !isFinite(value)) throw new TypeError('the answer holds ' + value + ' at ' + stringify(key));
    return value;
  };

  /** The state if it has changed, and the lines: both as JSON or empty, each with a line feed behind it. */
  const rest = () => {
    let text;
    try {
      text = stringify(state, undefined);
      if (text.length > ${STATE_UNITS}) throw new RangeError('state is longer than ${STATE_UNITS} characters');
    } catch (error) {
      state = parse(stateText);
      throw error;
    }
    const changed = text !== stateText;
    stateText = text;
    if (unsaid > 0) lines[lines.length] = 'and ' + unsaid + ' more lines';
    const said = lines.length === 0 ? '' : stringify(lines);
    lines = []; unsaid = 0;
    return (changed ? text : '') + '\\n' + said + '\\n';
  };

  const hooks = { __proto__: null };
  return {
    begin(text) { state = parse(text); stateText = text; },
    adopt(exported, known) {
      const names = keys(exported), found = [];
      for (let i = 0; i < names.length; i++) {
        const name = names[i];
        const isHook = (',' + known + ',').includes(',' + name + ',');
        if (!isHook && /^on[A-Z]/.test(name)) throw new TypeError("'" + name + "' is exported and is no hook");
        if (!isHook) continue;
        if (typeof exported[name] !== 'function') throw new TypeError("'" + name + "' is exported and is no function");
        hooks[name] = exported[name];
        found[found.length] = name;
      }
      return found.join(',');
    },
    /** What rest() gives, and the answer after it. */
    call(hook, input, time) {
      clock = time;
      const result = hooks[hook](parse(input));
      if (result === undefined && hook === 'onEvent') return rest() + '{}';
      if (result === undefined) throw new TypeError(hook + ' returned nothing');
      if (result instanceof RealPromise) throw new TypeError(hook + ' returned a promise; hooks are synchronous');
      const text = stringify(result, plain);
      if (text.length > ${ANSWER_UNITS}) throw new RangeError('the answer is longer than ${ANSWER_UNITS} characters');
      return rest() + text;
    },
    rest,
    describe(error) {
      const isError = typeof error === 'object' && error !== null;
      const memory = error === null || (error instanceof Internal && error.message === 'out of memory');
      const overflow = error instanceof Internal && error.message === 'stack overflow';
      const name = isError ? cut(textOf(error.name ?? ''), 100) : '';
      const message = isError ? cut(textOf(error.message ?? ''), 500) : 'threw ' + cut(textOf(error), 500);
      const stack = isError && typeof error.stack === 'string' ? cut(error.stack, 1000) : '';
      // Without a prototype: no toJSON of the script's stands in between.
      return stringify({ __proto__: null, name, message, stack, memory, overflow });
    },
  };
})()`;
