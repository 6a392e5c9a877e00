import {
  dropConnection,
  echo,
  open,
  peerName,
  tcp,
  tally,
  transfer,
  startStream,
  stopStream,
} from './tcp-client';
import { answerParent } from './process';
import { bind, listen, stopListening } from './server';
import { askUdp, closeUdp, connectUdp, connectedUdp, openUdp, sendUdp, unconnectedUdp } from './udp-client';

/* A process with sockets: serves, and asks others. */
const functions = {
  listen,
  stopListening,
  bind,
  tcp,
  open,
  echo,
  peerName,
  dropConnection,
  tally,
  transfer,
  startStream,
  stopStream,
  connectedUdp,
  unconnectedUdp,
  connectUdp,
  askUdp,
  openUdp,
  sendUdp,
  closeUdp,
};

/** What a peer's process can be asked for. */
export type PeerFunctions = typeof functions;

answerParent(functions);
