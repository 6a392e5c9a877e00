import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';

import { loadYaml } from '@kubernetes/client-node';
import type { OpenOptions } from 'bpf-lb';
import * as kubernetes from 'bpf-lb/kubernetes';

type File = Partial<kubernetes.KubeProxyConfiguration & kubernetes.CiliumConfiguration>;

/** What the command line says counts, then what `--config` says, then the defaults. */
export function readSettings() {
  const text = { type: 'string' } as const;
  const options = {
    config: text,
    open: { ...text, default: '{}' },
    'host-ports': { type: 'boolean', default: false },
    'healthz-bind-address': text,
    'metrics-bind-address': text,
    'watch-idle-limit': { ...text, default: '90' },
  } as const;
  const { values } = parseArgs({ options });
  const file = values.config === undefined ? {} : parse(loadYaml(readFileSync(values.config, 'utf8')));
  return {
    ...file,
    open: { devices: ['auto'], ...file.open, ...(JSON.parse(values.open) as OpenOptions) },
    cluster: { nodeName: process.env.NODE_NAME || hostname(), ...file.cluster },
    hostPorts: values['host-ports'],
    healthz: values['healthz-bind-address'] ?? file.healthzBindAddress,
    metrics: values['metrics-bind-address'] ?? file.metricsBindAddress,
    idleLimit: Number(values['watch-idle-limit']) * 1000,
  };
}

function parse(config: { kind?: string; data?: Record<string, string> }): File {
  if (config.kind === 'ConfigMap') return kubernetes.parseCiliumConfig(config);
  return kubernetes.parseKubeProxyConfig(config);
}
