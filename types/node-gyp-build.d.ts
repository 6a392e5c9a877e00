/** node-gyp-build ships no declarations of its own. */
declare module 'node-gyp-build' {
  /** Loads the addon of the package in `folder`: a local build before a prebuilt one. */
  function load<Addon>(folder: string): Addon;
  export = load;
}
