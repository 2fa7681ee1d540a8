// The filter in the browser: loads the module, and asks it.
//
// The module has no imports but those of WASI that its standard library names: none of them reaches a network
// or a file.

const SUCCESS = 0;
const NOT_SUPPORTED = 52; // ENOSYS

/** The imports of a module: what it asks for, and nothing else. */
function imports(module, memory) {
  const view = () => new DataView(memory().buffer);
  const known = {
    // Seeds of hash tables.
    random_get(address, length) {
      const bytes = new Uint8Array(memory().buffer, address, length);
      // The browser gives so many bytes at a time.
      for (let from = 0; from < length; from += 65536) {
        crypto.getRandomValues(bytes.subarray(from, Math.min(from + 65536, length)));
      }
      return SUCCESS;
    },
    environ_sizes_get(count, size) {
      view().setUint32(count, 0, true);
      view().setUint32(size, 0, true);
      return SUCCESS;
    },
    environ_get: () => SUCCESS,
    // The output of a panic. It may contain a part of the input, so the page discards it.
    fd_write(file, vectors, count, written) {
      let length = 0;
      for (let vector = 0; vector < count; vector += 1) {
        length += view().getUint32(vectors + vector * 8 + 4, true);
      }
      view().setUint32(written, length, true);
      return SUCCESS;
    },
    proc_exit(code) {
      throw new Error(`the filter ended with code ${code}`);
    },
  };
  const all = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    all[from] ??= {};
    all[from][name] = known[name] ?? (() => NOT_SUPPORTED);
  }
  return all;
}

/** Compiles the module at a URL, and returns a function that answers questions: see jwtctl/src/page.rs. */
export async function load(url) {
  // Not the streaming way, which needs a media type that not every file server knows.
  const response = await fetch(url, { cache: "no-cache" });
  if (!response.ok) {
    throw new Error(`${response.status} for ${url}`);
  }
  const module = await WebAssembly.compile(await response.arrayBuffer());
  let instance;
  const start = async () => {
    instance = await WebAssembly.instantiate(module, imports(module, () => instance.exports.memory));
  };
  await start();
  return async (question) => {
    const { memory, input, answer, output } = instance.exports;
    const bytes = new TextEncoder().encode(JSON.stringify(question));
    try {
      // The memory may move when it grows, so each view of it is a new one, and made after the call.
      const start = input(bytes.length);
      new Uint8Array(memory.buffer, start, bytes.length).set(bytes);
      const length = answer();
      return JSON.parse(new TextDecoder().decode(new Uint8Array(memory.buffer, output(), length)));
    } catch (error) {
      // The engine may be in any state, so the next question gets a new one.
      await start();
      throw error;
    }
  };
}
