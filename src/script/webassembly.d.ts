/** Of the language's WebAssembly, what we use: the type library of Node 20 has none of it. */
declare namespace WebAssembly {
  /** Compiled code, without memory: may be given to another thread. */
  interface Module {
    readonly brand: 'WebAssembly.Module';
  }
  function compile(bytes: Uint8Array): Promise<Module>;

  /** Grows page by page of 64 KiB, and never beyond `maximum`. */
  class Memory {
    readonly buffer: ArrayBuffer;
    constructor(size: { readonly initial: number; readonly maximum: number });
  }
}
