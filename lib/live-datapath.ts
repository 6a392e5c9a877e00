import type { Datapath } from '../types/native';

/** The datapath in use. Another one takes its place when tables grow; what holds this one does not notice. */
export interface LiveDatapath extends Datapath {
  /** For the addon, which needs its own object. */
  readonly current: Datapath;
  /** Closes the old one. Links have to be the new one's by now. */
  replace(next: Datapath): void;
}

/** Passes every call on to the datapath that is in use when it is made. */
export function liveDatapath(first: Datapath): LiveDatapath {
  let current = first;
  const replace = (next: Datapath) => {
    current.close();
    current = next;
  };
  return new Proxy({} as LiveDatapath, {
    get(_, name) {
      if (name === 'current') return current;
      if (name === 'replace') return replace;
      const member: unknown = Reflect.get(current, name);
      return typeof member === 'function' ? (member.bind(current) as unknown) : member;
    },
  });
}
