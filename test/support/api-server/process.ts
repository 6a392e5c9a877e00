import { answerParent } from '../cluster/process';
import { ApiServer } from './server';

/* An API server in a network namespace. */
let server: ApiServer | undefined;

function running(): ApiServer {
  if (!server) throw new Error('The API server has not been opened');
  return server;
}

const functions = {
  /** Before all else. Returns the URL. */
  open(host: string, ...access: ConstructorParameters<typeof ApiServer>): Promise<string> {
    server = new ApiServer(...access);
    return server.start(host);
  },
  start: (host?: string) => running().start(host),
  url: () => running().url,
  stop: () => running().stop(),
  put: (...args: Parameters<ApiServer['put']>) => running().put(...args),
  remove: (...args: Parameters<ApiServer['remove']>) => running().remove(...args),
  failNext: (...args: Parameters<ApiServer['failNext']>) => running().failNext(...args),
  holdLists: (...args: Parameters<ApiServer['holdLists']>) => running().holdLists(...args),
  releaseLists: (...args: Parameters<ApiServer['releaseLists']>) => running().releaseLists(...args),
  closeWatches: () => running().closeWatches(),
  resetConnections: () => running().resetConnections(),
  stallWatches: () => running().stallWatches(),
  expireWatches: () => running().expireWatches(),
  compact: () => running().compact(),
  tellGoneByStatus: (byStatus: boolean) => running().tellGoneByStatus(byStatus),
  sendBookmarks: () => running().sendBookmarks(),
  requests: () => running().requests,
};

/** What the process can be asked for: see {@link ApiServer}. */
export type ApiServerFunctions = typeof functions;

answerParent(functions);
