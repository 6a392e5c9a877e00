import type { Metrics } from '../metrics';
import type { Prometheus } from './prometheus';
import { codeOf } from './sync-batch';

/** Lets the LoadBalancer's own numbers be seen. Of one that is closed there are none. */
export function exposeLoadBalancer({ prom, registers }: Prometheus, lb: { metrics(): Metrics }): void {
  new prom.Counter({
    name: 'bpf_lb_events_total',
    help: 'What the programs counted.',
    labelNames: ['event'],
    registers,
    collect() {
      this.reset();
      for (const [name, count] of Object.entries(read(lb)?.counters ?? {}))
        this.inc({ event: name.toLowerCase() }, Number(count));
    },
  });
  const table = (name: string, help: string, number: 'used' | 'capacity') =>
    new prom.Gauge({
      name,
      help,
      labelNames: ['table'],
      registers,
      collect() {
        this.reset();
        for (const [label, entries] of Object.entries(read(lb)?.tables ?? {}))
          this.set({ table: label }, entries[number]);
      },
    });
  table('bpf_lb_table_entries', 'Entries of a table that are in use.', 'used');
  table('bpf_lb_table_capacity', 'Entries that a table can hold.', 'capacity');
}

function read(lb: { metrics(): Metrics }): Metrics | undefined {
  try {
    return lb.metrics();
  } catch (error) {
    if (codeOf(error) === 'ERR_BPF_CLOSED') return undefined;
    throw error;
  }
}
