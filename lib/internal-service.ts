/** Internal services begin with this character, which no listing shows. */
export const hiddenPrefix = '\0';

/** Whether a service is the library's own: not listed, not counted, not to be named by users. */
export function isInternal(service: string): boolean {
  return service.startsWith(hiddenPrefix);
}
