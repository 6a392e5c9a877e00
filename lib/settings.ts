import { layouts } from './abi';
import { encodeSettings, encodeUint32, settingBits } from './encode';
import type { Options } from './options';
import type { MapOperation } from '../types/native';

/** Writes the settings of a LoadBalancer that is opened in the namespace with the cookie. */
export function settingsOperation(options: Options, hostNetns: bigint): MapOperation {
  const bytes = encodeSettings({
    hostNetns,
    snatPorts: options.snatPorts,
    originSlots: options.capacity.sockets,
    flows: options.capacity.flows,
    flowLifetimes: options.flowLifetimes,
    rejectsPerSecond: options.rejectsPerSecond,
    flags: { ...flagsOf(options), ...initialState(options) },
  });
  return { map: 'settings', kind: 'store', offset: 0, bytes };
}

/** What may change while it is open. */
export interface SettingState {
  /** There are exceptions to the translation of sockets. */
  readonly socketExceptions: boolean;
  /** New connections are left to others. */
  readonly releasing: boolean;
  /** So are they, and what would have been done with them is told. */
  readonly shadow: boolean;
}

export function initialState({ shadow }: Pick<Options, 'shadow'>): SettingState {
  return { socketExceptions: false, releasing: false, shadow };
}

export function stateOperation(options: Options, state: SettingState): MapOperation {
  const flags = settingBits({ ...flagsOf(options), ...state });
  const { offset } = layouts.lb_settings.fields.flags;
  return { map: 'settings', kind: 'store', offset, bytes: encodeUint32(flags) };
}

function flagsOf(options: Options) {
  return {
    hostSocketsOnly: options.hostNamespaceOnly,
    localhost4: options.nodePortAddresses.localhost.includes(4),
    reject: options.noBackend === 'reject',
    answerEcho: options.answerEcho,
    masqueradeLocal: options.masqueradeLocal,
    serviceRanges: options.serviceCIDRs.length > 0,
    toPeers: options.redirectPeer,
    localhost6: options.nodePortAddresses.localhost.includes(6),
    leaveTracked: options.existingConnections === 'leave',
  };
}
