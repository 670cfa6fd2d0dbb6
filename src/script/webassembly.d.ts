/** Of the language's WebAssembly, what we use: the type library of Node 20 has none of it. */
declare namespace WebAssembly {
  /** Compiled code, without memory: may be given to another thread. */
  interface Module {
    readonly brand: 'WebAssembly.Module';
  }
  function compile(bytes: Uint8Array): Promise<Module>;
}
