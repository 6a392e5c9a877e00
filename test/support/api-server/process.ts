import { answerParent } from '../cluster/process';
import { ApiServer } from './server';

/* An API server in a network namespace. */
const server = new ApiServer();

const functions = {
  start: (host?: string) => server.start(host),
  url: () => server.url,
  stop: () => server.stop(),
  put: (...args: Parameters<ApiServer['put']>) => server.put(...args),
  remove: (...args: Parameters<ApiServer['remove']>) => server.remove(...args),
  failNext: (...args: Parameters<ApiServer['failNext']>) => server.failNext(...args),
  holdLists: (...args: Parameters<ApiServer['holdLists']>) => server.holdLists(...args),
  releaseLists: (...args: Parameters<ApiServer['releaseLists']>) => server.releaseLists(...args),
  closeWatches: () => server.closeWatches(),
  resetConnections: () => server.resetConnections(),
  expireWatches: () => server.expireWatches(),
  compact: () => server.compact(),
  sendBookmarks: () => server.sendBookmarks(),
  requests: () => server.requests,
};

/** What the process can be asked for: see {@link ApiServer}. */
export type ApiServerFunctions = typeof functions;

answerParent(functions);
