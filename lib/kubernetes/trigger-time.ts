import { objectOf, textMapOf } from './json';

const annotation = 'endpoints.kubernetes.io/last-change-trigger-time';

/** When what an EndpointSlice says happened, in ms since the epoch; undefined when it does not tell. */
export function triggerTimeOf(slice: unknown): number | undefined {
  const time = Date.parse(textMapOf(objectOf(objectOf(slice).metadata).annotations).get(annotation) ?? '');
  return Number.isNaN(time) ? undefined : time;
}
