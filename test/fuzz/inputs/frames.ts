import type { FrameRun } from '../../program/agent';
import { families, type FamilyAddresses } from '../../program/families';
import { Harness, verdicts } from '../../program/harness';
import {
  build,
  buildFragments,
  buildMessage,
  type Extension,
  messages,
  type Packet,
  withoutLink,
} from '../../program/packets';
import { faultOf } from './harmless';
import { type InputRound, mutate, Random } from './random';

const inputs = 4000;
const batch = 1000;
const ethernetHeader = 14;

const all = Object.values(families);
/* Most come in. */
const programs = [
  ...['bpf_lb_ingress', 'bpf_lb_ingress', 'bpf_lb_ingress', 'bpf_lb_egress'],
  ...['bpf_lb_ingress_l3', 'bpf_lb_ingress_l3', 'bpf_lb_egress_l3'],
];
const devices = ['eth0', 'eth1', 'lxc0'];
/** TC_ACT_UNSPEC, TC_ACT_OK, TC_ACT_SHOT, TC_ACT_REDIRECT. */
const allowed: readonly number[] = [verdicts.next, 0, verdicts.drop, verdicts.redirect];

/** Frontends that forward, refuse and stay silent; of every protocol. */
export async function openForFrames(): Promise<Harness> {
  const harness = await Harness.open({ devices, serviceCIDRs: ['10.96.0.0/16', 'fd00:96::/64'] });
  const frontends = (port: number) =>
    (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) => [
      ...all.map(({ vip }) => ({ type: 'LoadBalancer' as const, address: vip, port, protocol })),
      { type: 'NodePort' as const, port: 30_000 + port, protocol },
    ]);
  const backends = all.flatMap((f) => [
    { address: f.remote, port: 8080 },
    { address: f.local, port: 8080, local: true },
  ]);
  await harness.call('put', { name: 'web', frontends: frontends(80), backends });
  await harness.call('put', { name: 'empty', frontends: frontends(81), backends: [] });
  return harness;
}

const extensionTypes = ['hop-by-hop', 'destination', 'routing', 'fragment', 'authentication'] as const;

function someExtensions(random: Random): Extension[] {
  return Array.from({ length: random.below(4) }, () => {
    const type = random.pick(extensionTypes);
    return { type, length: type === 'fragment' ? 8 : 8 * (1 + random.below(3)), left: random.below(2) };
  });
}

function somePacket(random: Random, f: FamilyAddresses): Packet {
  const reply = random.oneIn(4);
  const outside = {
    source: f.client,
    destination: random.pick([f.vip, f.vip, f.node, f.clusterIP, f.remote]),
  };
  const back = { source: random.pick([f.remote, f.local]), destination: random.pick([f.snat, f.client]) };
  const padding = random.below(6) * 4;
  return {
    ...(reply ? back : outside),
    sourcePort: reply ? 8080 : 1024 + random.below(4000),
    destinationPort: random.pick([80, 81, 30_080, 30_081, 1024 + random.below(4000)]),
    protocol: random.pick(['TCP', 'TCP', 'UDP', 'SCTP'] as const),
    flags: random.pick(['S', 'A', 'SA', 'PA', 'FA', 'R', 'FSRPA', '']),
    ttl: random.pick([64, 64, 2, 1, 0]),
    payload: random.bytes(random.below(64)),
    unchecked: random.oneIn(6) && f.version === 4,
    ...(random.oneIn(4) && f.version === 4 ? { options: random.bytes(padding) } : {}),
    ...(random.oneIn(4) && f.version === 6 ? { extensions: someExtensions(random) } : {}),
    ...(random.oneIn(8) ? { vlan: 7 } : {}),
  };
}

/** Sound, as a station sends it. */
function someFrame(random: Random): Buffer {
  const f = random.pick(all);
  const packet = somePacket(random, f);
  switch (random.below(6)) {
    case 0: {
      return random.pick(buildFragments({ ...packet, payload: random.bytes(64) }, [24, 24]));
    }
    case 1: {
      const types = messages[f.version];
      return buildMessage({
        ...random.pick(Object.values<{ type: number; code?: number }>(types)),
        source: random.pick([f.client, f.remote, f.podRouter]),
        destination: random.pick([f.vip, f.node, f.snat]),
        info: random.below(65536),
        body: withoutLink({
          ...packet,
          source: packet.destination,
          destination: packet.source,
          destinationPort: packet.sourcePort,
          sourcePort: packet.destinationPort,
        }).subarray(0, 20 + random.below(100)),
      });
    }
    default:
      return build(packet);
  }
}

/** What the backend answers to a frame that it was given: the other way round, checksums are as right as before. */
function replyTo(frame: Buffer): Buffer {
  const reply = Buffer.from(frame);
  const at = ethernetHeader;
  const v4 = (reply[at] as number) >> 4 === 4;
  const [from, length, ports] = v4
    ? [at + 12, 4, at + ((reply[at] as number) & 0xf) * 4]
    : [at + 8, 16, at + 40];
  const swap = (first: number, size: number) => {
    const kept = Buffer.from(reply.subarray(first, first + size));
    reply.copy(reply, first, first + size, first + 2 * size);
    kept.copy(reply, first + size);
  };
  swap(from, length);
  if (reply.length >= ports + 4) swap(ports, 2);
  return reply;
}

/**
 * From the network layer on. The kernel's test takes the first bytes for a link header, and of these the last two, which
 * are in the source address, for the protocol.
 */
function withoutLinkHeader(frame: Buffer): Buffer {
  const packet = Buffer.from(frame.subarray(ethernetHeader));
  if (packet.length >= 14) packet.writeUInt16BE((packet[0] as number) >> 4 === 4 ? 0x0800 : 0x86dd, 12);
  return packet;
}

/** `given`: frames that backends were given. */
function someRun(random: Random, given: readonly Buffer[]): { run: FrameRun; link: boolean } {
  const program = random.pick(programs);
  const link = !program.endsWith('_l3');
  const sound = given.length > 0 && random.oneIn(4) ? replyTo(random.pick(given)) : someFrame(random);
  const packet = link ? sound : withoutLinkHeader(sound);
  let frame = random.oneIn(3) ? packet : mutate(random, packet);
  if (random.oneIn(50)) frame = random.bytes(random.below(200));
  return { run: { program, device: random.pick(devices), frame: frame.toString('hex') }, link };
}

/** Every length that a frame may have been cut to. */
function cuts(random: Random): { run: FrameRun; link: boolean }[] {
  const frame = someFrame(random);
  const program = random.pick(['bpf_lb_ingress', 'bpf_lb_egress']);
  return Array.from({ length: frame.length + 1 }, (_, length) => ({
    run: { program, device: 'eth0', frame: frame.subarray(0, length).toString('hex') },
    link: true,
  }));
}

/**
 * Packets of every kind, and what is left of them when bytes are changed or missing, through the programs of devices:
 * each leaves a packet as it is, or translates it so that its checksums are as right as before, or answers it with a
 * sound one.
 */
export async function fuzzFrames(seed: number, harness: Harness): Promise<InputRound> {
  const random = new Random(seed);
  let [done, changed] = [0, 0];
  let given: Buffer[] = [];
  while (done < inputs) {
    const cases = cuts(random);
    while (cases.length < batch) cases.push(someRun(random, given));
    const results = await harness.call(
      'runAll',
      cases.map(({ run }) => run),
    );
    const forwarded: Buffer[] = [];
    for (const [i, { run, link }] of cases.entries()) {
      const result = results[i];
      if (!result) throw new Error('the agent has left a frame out');
      const before = Buffer.from(run.frame, 'hex');
      const fault = 'error' in result ? refusal(before, result.error) : judge(before, result, link);
      if (fault !== undefined) {
        const after = 'frame' in result ? `\nbecame ${result.frame}, verdict ${result.retval | 0}` : '';
        return {
          inputs: done + i,
          failure: `${run.program} on ${run.device}: ${fault}\nframe  ${run.frame}${after}`,
        };
      }
      if ('error' in result || result.frame === run.frame) continue;
      changed++;
      if (link && result.retval === verdicts.redirect) forwarded.push(Buffer.from(result.frame, 'hex'));
    }
    done += cases.length;
    given = forwarded;
  }
  return { inputs: done, failure: changed < done / 40 ? `only ${changed} frames were changed` : undefined };
}

/** The kernel's test takes no frame without link header, and none of IP without its header: late kernels look. */
function refusal(frame: Buffer, code: string): string | undefined {
  const type = frame.length < ethernetHeader ? 0 : frame.readUInt16BE(12);
  const least = { 0x0800: 20, 0x86dd: 40 }[type] ?? 1;
  return frame.length < ethernetHeader + least && code === 'EINVAL' ? undefined : `refused with ${code}`;
}

function judge(before: Buffer, result: { retval: number; frame: string }, link: boolean): string | undefined {
  if (!allowed.includes(result.retval)) return `verdict ${result.retval}`;
  if (result.retval === verdicts.drop) return undefined;
  return faultOf(before, Buffer.from(result.frame, 'hex'), link);
}
