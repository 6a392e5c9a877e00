import type * as PromClient from 'prom-client';

/** prom-client, and where to put what is made of it. */
export interface Prometheus {
  readonly prom: typeof PromClient;
  readonly registers: PromClient.Registry[];
}
