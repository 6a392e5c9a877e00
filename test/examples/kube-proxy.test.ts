import { sessionAffinity } from './kube-proxy/affinity';
import { availability } from './kube-proxy/availability';
import { useKubeProxies } from './kube-proxy/bed';
import { conntrack } from './kube-proxy/conntrack';
import {
  granularChecksOfDualStack,
  granularChecksOfPods,
  granularChecksOfServices,
} from './kube-proxy/granular';
import { loadBalancers } from './kube-proxy/load-balancers';
import { networking } from './kube-proxy/networking';
import { policies } from './kube-proxy/policies';
import { program } from './kube-proxy/program';
import { services } from './kube-proxy/services';
import { topology } from './kube-proxy/topology';

describe('examples/kube-proxy', () => {
  const bed = useKubeProxies();
  services(bed);
  sessionAffinity(bed);
  availability(bed);
  policies(bed);
  topology(bed);
  conntrack(bed);
  granularChecksOfPods(bed);
  granularChecksOfServices(bed);
  granularChecksOfDualStack(bed);
  networking(bed);
  loadBalancers(bed);
  program(bed);
});
