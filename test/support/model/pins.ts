import type { ServiceSpec } from '../../../lib/spec';
import { choosable, type Expectation } from './decide';

interface Pin {
  readonly service: string;
  readonly client: string;
  readonly backend: string;
}

/**
 * Which backend each client of services with session affinity was given. A pin is kept by all frontends of the service,
 * and holds while its backend is on offer.
 */
export class Pins {
  #pins: Pin[] = [];

  /** What may be chosen, given what was chosen before. */
  narrow(expectation: Expectation, client: string): Expectation {
    if (expectation.verdict !== 'forward' || expectation.service.sessionAffinity !== 'ClientIP')
      return expectation;
    const { service, choices } = expectation;
    const pin = this.#pins.find((p) => p.service === service.name && p.client === client);
    const kept = choices.filter(({ backend }) => backend === pin?.backend);
    return kept.length > 0 ? { ...expectation, choices: kept } : expectation;
  }

  /** A backend was chosen. */
  keep(expectation: Expectation, client: string, backend: string): void {
    if (expectation.verdict !== 'forward' || expectation.service.sessionAffinity !== 'ClientIP') return;
    const service = expectation.service.name;
    this.#pins = this.#pins.filter((p) => p.service !== service || p.client !== client);
    this.#pins.push({ service, client, backend });
  }

  /**
   * The services are others: nothing is said any more about pins to backends that cannot be chosen now, nor about those
   * of services without affinity.
   */
  update(services: readonly ServiceSpec[]): void {
    this.#pins = this.#pins.filter(({ service, backend }) =>
      services.some(
        (one) =>
          one.name === service && one.sessionAffinity === 'ClientIP' && choosable(one).includes(backend),
      ),
    );
  }
}
