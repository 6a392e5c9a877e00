import { access } from 'node:fs/promises';

import { attempt, LoadBalancerError } from './errors';
import type { Native } from '../types/native';

const functions = ['bpf_skb_ct_lookup', 'bpf_ct_release'];

/** Is there while nf_conntrack is part of the kernel, or its module is loaded. */
const countPath = '/proc/sys/net/netfilter/nf_conntrack_count';

/**
 * Whether the kernel tracks connections, in a way that programs can ask for. False where it does not: nothing translates
 * connections there.
 *
 * @throws LoadBalancerError `ERR_BPF_UNSUPPORTED` when it does, but cannot be asked.
 */
export async function isTracking(native: Native): Promise<boolean> {
  const { functions: present } = await attempt('ask for functions of nf_conntrack', () =>
    native.features({ programTypes: [], mapTypes: [], helpers: [], functions }),
  );
  if (present.every(Boolean)) return true;
  const tracks = await access(countPath).then(
    () => true,
    () => false,
  );
  if (!tracks) return false;
  throw new LoadBalancerError(
    'ERR_BPF_UNSUPPORTED',
    "existingConnections: programs cannot look into this kernel's nf_conntrack. That takes CONFIG_DEBUG_INFO_BTF, and where " +
      'it is a module CONFIG_DEBUG_INFO_BTF_MODULES and CAP_SYS_ADMIN. Without: drain the node first.',
  );
}
