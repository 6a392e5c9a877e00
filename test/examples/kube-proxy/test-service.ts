import type { Remote } from '../../support/cluster/rpc';
import type { ApiServerFunctions } from '../../support/api-server/process';
import type { Endpoint } from '../../support/cluster/exchange';
import { podPort } from '../../support/cluster/suite';
import type { Host, Node, Pod } from '../../support/cluster/two-nodes';
import type { Family } from '../../../lib/address';

/** A port of a Service. What is not given is as the API server would have it. */
export interface Port {
  name?: string;
  port: number;
  protocol?: 'TCP' | 'UDP';
  /** The number that pods serve on; default {@link podPort}. */
  targetPort?: number;
  nodePort?: number;
}

/** The `spec` of a Service, as far as tests change it. */
export interface Spec {
  type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  ports: Port[];
  clusterIPs: string[];
  publishNotReadyAddresses?: boolean;
  trafficDistribution?: 'PreferClose' | 'PreferSameZone' | 'PreferSameNode';
  [field: string]: unknown;
}

/** An endpoint; ready, unless it says otherwise. */
export interface ServiceEndpoint {
  host: Host;
  ready?: boolean;
  serving?: boolean;
  terminating?: boolean;
  /** Numbers of named ports, where the pod has others. */
  ports?: Record<string, number>;
}

/** The objects of one Service, written as its author, the API server and the EndpointSlice controller would. */
export class TestService {
  readonly name: string;
  spec: Spec;
  labels: Record<string, string> = {};
  ingress: { ip: string; ipMode?: string }[] = [];
  readonly #api: Remote<ApiServerFunctions>;
  readonly #zoneOf: (node: string) => string;
  #endpoints: ServiceEndpoint[] = [];
  #slices = new Set<string>();

  constructor(api: Remote<ApiServerFunctions>, zoneOf: (node: string) => string, name: string, spec: Spec) {
    this.#api = api;
    this.#zoneOf = zoneOf;
    this.name = name;
    this.spec = spec;
  }

  /** Where the first port is served; or another one, by its name. */
  clusterIP(family: Family = 4, portName?: string): Endpoint {
    const address = this.spec.clusterIPs.find((ip) => ip.includes(':') === (family === 6));
    return { address: address ?? '', port: this.#port(portName).port };
  }

  /** The NodePort of the first port, or of another one, on a node. */
  nodePort(node: Node, family: Family = 4, portName?: string): Endpoint {
    return { address: node.addresses[family], port: this.#port(portName).nodePort ?? 0 };
  }

  /** Writes the Service; `changes` replaces parts of its `spec`. */
  async put(changes: Partial<Spec> = {}): Promise<void> {
    this.spec = { ...this.spec, ...changes };
    const { clusterIPs, ports, ...rest } = this.spec;
    const isNamed = this.spec.type !== 'ExternalName';
    const addresses = {
      clusterIP: clusterIPs[0],
      clusterIPs,
      ipFamilies: clusterIPs.map((ip) => (ip.includes(':') ? 'IPv6' : 'IPv4')),
    };
    await this.#api.put('services', {
      metadata: { name: this.name, namespace: 'default', labels: this.labels },
      spec: {
        ...rest,
        ...(isNamed ? addresses : {}),
        ports: ports.map(({ protocol = 'TCP', ...port }) => ({ targetPort: podPort, ...port, protocol })),
      },
      status: { loadBalancer: { ingress: this.ingress } },
    });
  }

  /** The Service and its slices have these labels now. */
  async label(labels: Record<string, string>): Promise<void> {
    this.labels = labels;
    await this.put();
    await this.#putSlices();
  }

  /** Makes these the endpoints; a host stands for one that is ready. */
  async serveFrom(...endpoints: (Host | ServiceEndpoint)[]): Promise<void> {
    this.#endpoints = endpoints.map((one) => ('host' in one ? one : { host: one }));
    await this.#putSlices();
  }

  /** Writes a slice as it is, beside what {@link serveFrom} writes. */
  async putSlice(name: string, slice: object): Promise<void> {
    const labels = { ...this.labels, 'kubernetes.io/service-name': this.name };
    this.#slices.add(name);
    await this.#api.put('endpointslices', { metadata: { name, namespace: 'default', labels }, ...slice });
  }

  /** With its slices; the owner first, as the garbage collector does. */
  async remove(): Promise<void> {
    await this.#api.remove('services', this.name);
    for (const slice of this.#slices) await this.#api.remove('endpointslices', slice);
    this.#slices.clear();
  }

  #port(name?: string): Port {
    const port = this.spec.ports.find((one) => name === undefined || one.name === name);
    if (!port) throw new Error(`${this.name} has no port ${name}`);
    return port;
  }

  /** One slice for each family and each set of numbers that pods have for the ports. */
  async #putSlices(): Promise<void> {
    const numbersOf = ({ ports = {} }: ServiceEndpoint) => JSON.stringify(ports);
    const groups = new Set(this.#endpoints.map(numbersOf));
    const wanted = new Set<string>();
    for (const [i, numbers] of [...groups].entries()) {
      const endpoints = this.#endpoints.filter((endpoint) => numbersOf(endpoint) === numbers);
      for (const clusterIP of this.spec.clusterIPs) {
        const family = clusterIP.includes(':') ? 6 : 4;
        const name = `${this.name}-${i}-ipv${family}`;
        wanted.add(name);
        await this.putSlice(name, {
          addressType: `IPv${family}`,
          ports: this.#slicePorts(JSON.parse(numbers) as Record<string, number>),
          endpoints: endpoints.map((endpoint) => this.#sliceEndpoint(endpoint, family)),
        });
      }
    }
    for (const name of this.#slices) {
      if (wanted.has(name)) continue;
      await this.#api.remove('endpointslices', name);
      this.#slices.delete(name);
    }
  }

  #slicePorts(numbers: Record<string, number>): object[] {
    const ports = this.spec.ports.map(({ name = '', protocol = 'TCP', targetPort }) => ({
      name,
      protocol,
      port: numbers[name] ?? targetPort ?? podPort,
    }));
    const hasOwn = Object.keys(numbers).length > 0;
    return hasOwn ? ports.filter(({ name }) => name in numbers) : ports;
  }

  #sliceEndpoint(
    { host, ready = true, serving = ready, terminating = false }: ServiceEndpoint,
    family: Family,
  ) {
    const nodeName = 'node' in host ? (host as Pod).node.name : host.name;
    const { publishNotReadyAddresses = false } = this.spec;
    return {
      addresses: [host.addresses[family]],
      nodeName,
      zone: this.#zoneOf(nodeName),
      conditions: { ready: publishNotReadyAddresses || (ready && !terminating), serving, terminating },
      ...this.#hints(nodeName),
    };
  }

  #hints(nodeName: string): object {
    const { trafficDistribution } = this.spec;
    if (!trafficDistribution) return {};
    const forNodes = trafficDistribution === 'PreferSameNode' ? { forNodes: [{ name: nodeName }] } : {};
    return { hints: { forZones: [{ name: this.#zoneOf(nodeName) }], ...forNodes } };
  }
}
