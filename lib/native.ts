import path from 'node:path';

import load from 'node-gyp-build';

import { LoadBalancerError } from './errors';
import type { Native } from '../types/native';

let addon: Native | undefined;

/**
 * The addon: the build of this machine if there is one, else the prebuilt one of the package. Loaded on first use, so
 * that the types and the pure parts of the library work everywhere.
 *
 * Throws `ERR_BPF_UNSUPPORTED` where it does not run.
 */
export function loadNative(): Native {
  if (process.platform !== 'linux') {
    throw new LoadBalancerError(
      'ERR_BPF_UNSUPPORTED',
      `A LoadBalancer needs Linux; this is ${process.platform}. bpf-lb/simulator and bpf-lb/kubernetes run everywhere.`,
    );
  }
  try {
    return (addon ??= load<Native>(path.join(__dirname, '..')));
  } catch (cause) {
    throw new LoadBalancerError(
      'ERR_BPF_UNSUPPORTED',
      `The addon of bpf-lb cannot be loaded on ${process.arch}: build it with \`npm explore bpf-lb -- npm run rebuild\`.`,
      { cause },
    );
  }
}
