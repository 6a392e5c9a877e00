import type http from 'node:http';

/** A Status object, which is how the API server says what went wrong. */
export function status(code: number, reason: string, message: string, metadata: object = {}): object {
  return { kind: 'Status', apiVersion: 'v1', metadata, status: 'Failure', message, reason, code };
}

/** What went wrong with a request. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly metadata: object;

  constructor(code: number, reason: string, message: string, metadata: object = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.metadata = metadata;
  }
}

export function json(response: http.ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** Anything but an {@link ApiError} is the server's own fault. */
export function refuse(response: http.ServerResponse, error: unknown): void {
  const { code, reason, message, metadata } =
    error instanceof ApiError ? error : new ApiError(500, 'InternalError', String(error));
  json(response, code, status(code, reason, message, metadata));
}
