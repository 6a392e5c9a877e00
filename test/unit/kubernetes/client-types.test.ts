import type { V1EndpointSlice, V1Node, V1Pod, V1Service } from '@kubernetes/client-node';
import { expectTypeOf } from 'expect-type';

import type {
  EndpointSliceObject,
  KubernetesObject,
  NodeObject,
  PodObject,
  ServiceObject,
} from '../../../lib/kubernetes';

describe('kubernetes: types', () => {
  it('take the objects of the official client as they are', () => {
    expectTypeOf<V1Service>().toExtend<ServiceObject>();
    expectTypeOf<V1EndpointSlice>().toExtend<EndpointSliceObject>();
    expectTypeOf<V1Node>().toExtend<NodeObject>();
    expectTypeOf<V1Pod>().toExtend<PodObject>();
    expectTypeOf<V1Service | V1EndpointSlice | V1Node | V1Pod>().toExtend<KubernetesObject>();
  });
});
