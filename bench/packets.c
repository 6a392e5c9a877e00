// SPDX-License-Identifier: Apache-2.0
/*
 * packets [options] CLIENT-DEVICE BACKEND-DEVICE FRONTEND PORT CLIENTS NEWCOMERS ELSEWHERE: what
 * the ingress programs of two devices of this network namespace take for a packet, in ns.
 *
 *   -r ROUNDS   rounds to measure; some more warm up
 *   -f FLOWS    established flows, and packets of a block
 *   -e ENTRIES  of the flow tables: they are full before packets of new flows are measured
 *   -c CPU      where everything runs
 *
 * FRONTEND, PORT (TCP) is a service's, with source NAT; CLIENTS and NEWCOMERS are the first
 * addresses of 65,536 that are reached through the first device; ELSEWHERE is behind the second one
 * and no service's. The flows are set up by a handshake that passes the programs packet by packet.
 *
 * A machine that is shared has phases, so a round takes every case once, in random order, beside a
 * program that does nothing with the same packets, and writes one line of JSON per case; figures
 * are to be compared within a line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>

#include "packets.h"
#include "packets.skel.h"

enum {
  WARM_UP_ROUNDS = 3,
  SINGLES = 16,
  FRESH_BLOCK = 16384,
  CLIENT_PORT = 10000,
  SNAT_PORT = 40000,
  WEB = 443
};

enum { SYN = 0x02, ACK = 0x10 };

/* Verdicts that a program must give in a case. */
static const uint32_t PASSED = (uint32_t)TC_ACT_UNSPEC, SENT = TC_ACT_REDIRECT;

struct address {
  __be32 words[4]; /* an IPv4 address is in the last one */
};

struct device {
  uint32_t ifindex;
  uint8_t mac[ETH_ALEN];
  int program;
};

/* Addresses and ports of a packet. */
struct tuple {
  struct address source, destination;
  uint16_t sport, dport;
};

/* Packets of one kind, and what is to become of them. */
struct packets {
  const char *name;
  enum subject subject;
  bool fresh;
  union frame frame;
  uint32_t first, count;
  uint32_t verdict;
};

static struct packets_bpf *skeleton;
static struct variation *variations;
static bool v6;
static struct device devices[SUBJECTS];
static int rounds = 100, flows = 65536, entries = 524288, cpu = 1;

/* ---- packets ----------------------------------------------------------------------------------
 */

/* Where packets for a program arrive. */
static const struct device *device_of(enum subject subject)
{
  return &devices[subject == AT_BACKENDS ? AT_BACKENDS : AT_CLIENTS];
}

/*
 * A TCP segment as it reaches a device. Checksums are those of nothing: programs go by differences,
 * and nobody receives it.
 */
static union frame frame_of(const struct tuple *tuple, uint8_t flags, const struct device *device)
{
  union frame frame = {};
  struct tcphdr tcp = {
      .source = htons(tuple->sport), .dest = htons(tuple->dport), .doff = sizeof(tcp) / 4};
  struct ethhdr ethernet = {.h_proto = htons(v6 ? ETH_P_IPV6 : ETH_P_IP), .h_source = {2}};

  memcpy(ethernet.h_dest, device->mac, ETH_ALEN);
  ((uint8_t *)&tcp)[13] = flags;
  if (v6) {
    frame.v6.ethernet = ethernet;
    frame.v6.ip.version = 6;
    frame.v6.ip.payload_len = htons(sizeof(frame) - offsetof(union frame, v6.tcp));
    frame.v6.ip.nexthdr = IPPROTO_TCP;
    frame.v6.ip.hop_limit = 64;
    memcpy(&frame.v6.ip.saddr, tuple->source.words, sizeof(tuple->source));
    memcpy(&frame.v6.ip.daddr, tuple->destination.words, sizeof(tuple->destination));
    frame.v6.tcp = tcp;
  } else {
    frame.v4.ethernet = ethernet;
    frame.v4.ip.version = 4;
    frame.v4.ip.ihl = sizeof(frame.v4.ip) / 4;
    frame.v4.ip.tot_len = htons(sizeof(frame) - offsetof(union frame, v4.ip));
    frame.v4.ip.frag_off = htons(0x4000);
    frame.v4.ip.ttl = 64;
    frame.v4.ip.protocol = IPPROTO_TCP;
    frame.v4.ip.saddr = tuple->source.words[3];
    frame.v4.ip.daddr = tuple->destination.words[3];
    frame.v4.tcp = tcp;
  }
  return frame;
}

static struct tuple tuple_of(const union frame *frame)
{
  const struct tcphdr tcp = v6 ? frame->v6.tcp : frame->v4.tcp;
  struct tuple tuple = {.sport = ntohs(tcp.source), .dport = ntohs(tcp.dest)};

  if (v6) {
    memcpy(tuple.source.words, &frame->v6.ip.saddr, sizeof(tuple.source));
    memcpy(tuple.destination.words, &frame->v6.ip.daddr, sizeof(tuple.destination));
  } else {
    tuple.source.words[3] = frame->v4.ip.saddr;
    tuple.destination.words[3] = frame->v4.ip.daddr;
  }
  return tuple;
}

static struct tuple reversed(const struct tuple *tuple)
{
  return (struct tuple){tuple->destination, tuple->source, tuple->dport, tuple->sport};
}

static bool same(const struct tuple *a, const struct tuple *b)
{
  return memcmp(a, b, sizeof(*a)) == 0;
}

static struct variation variation_of(const struct tuple *tuple)
{
  struct variation variation = {.sport = htons(tuple->sport), .dport = htons(tuple->dport)};

  memcpy(variation.source, tuple->source.words, sizeof(variation.source));
  return variation;
}

static struct address plus(struct address address, uint32_t offset)
{
  address.words[3] = htonl(ntohl(address.words[3]) + offset);
  return address;
}

/* ---- the kernel -------------------------------------------------------------------------------
 */

/* Sends one packet through a device's program; `frame` becomes what it made of it. */
static uint32_t pass(union frame *frame, const struct device *device)
{
  struct __sk_buff context = {.ifindex = device->ifindex};
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(*frame),
              .data_out = frame, .data_size_out = sizeof(*frame), .ctx_in = &context,
              .ctx_size_in = sizeof(context));

  if (bpf_prog_test_run_opts(device->program, &options) != 0)
    error(1, errno, "BPF_PROG_TEST_RUN");
  return options.retval;
}

/* The mean time of `runs` runs with packets of this kind. */
static uint32_t run(const struct packets *packets, enum subject subject, int runs)
{
  struct bpf_program *programs[2][2] = {{skeleton->progs.listed4, skeleton->progs.listed6},
                                        {skeleton->progs.fresh4, skeleton->progs.fresh6}};
  struct __sk_buff context = {.ifindex = device_of(packets->subject)->ifindex};
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &packets->frame,
              .data_size_in = sizeof(packets->frame), .ctx_in = &context,
              .ctx_size_in = sizeof(context), .repeat = runs);
  uint32_t verdict = subject == NOTHING ? PASSED : packets->verdict;

  skeleton->bss->frame = packets->frame;
  skeleton->bss->first = packets->first;
  skeleton->data->count = packets->count;
  skeleton->bss->subject = subject;
  if (bpf_prog_test_run_opts(bpf_program__fd(programs[packets->fresh][v6]), &options) != 0)
    error(1, errno, "BPF_PROG_TEST_RUN");
  if (options.retval != verdict)
    error(1, 0, "%s: the verdict was %d", packets->name, (int)options.retval);
  return options.duration;
}

static struct device open_device(const char *name)
{
  struct ifreq request = {};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  uint32_t ids[2];
  LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = ids, .prog_cnt = 2);
  struct device device = {.ifindex = if_nametoindex(name)};

  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) != 0)
    error(1, errno, "%s", name);
  close(fd);
  memcpy(device.mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
  if (bpf_prog_query_opts(device.ifindex, BPF_TCX_INGRESS, &query) != 0)
    error(1, errno, "%s: BPF_PROG_QUERY", name);
  if (query.prog_cnt != 1)
    error(1, 0, "%s has %u ingress programs", name, query.prog_cnt);
  device.program = bpf_prog_get_fd_by_id(ids[0]);
  if (device.program < 0)
    error(1, errno, "BPF_PROG_GET_FD_BY_ID");
  return device;
}

static void load(uint32_t packets)
{
  int subjects, fds[SUBJECTS];

  skeleton = packets_bpf__open();
  if (!skeleton || bpf_map__set_max_entries(skeleton->maps.variations, packets) != 0 ||
      packets_bpf__load(skeleton) != 0)
    error(1, errno, "packets.bpf.c");
  fds[NOTHING] = bpf_program__fd(skeleton->progs.nothing);
  fds[ROUTE] = bpf_program__fd(skeleton->progs.route);
  fds[AT_CLIENTS] = devices[AT_CLIENTS].program;
  fds[AT_BACKENDS] = devices[AT_BACKENDS].program;
  subjects = bpf_map__fd(skeleton->maps.subjects);
  for (int subject = 0; subject < SUBJECTS; subject++) {
    if (bpf_map_update_elem(subjects, &subject, &fds[subject], BPF_ANY) != 0)
      error(1, errno, "subject %d", subject);
  }
  variations = mmap(NULL, packets * sizeof(*variations), PROT_READ | PROT_WRITE, MAP_SHARED,
                    bpf_map__fd(skeleton->maps.variations), 0);
  if (variations == MAP_FAILED)
    error(1, errno, "mmap");
}

/* ---- flows ------------------------------------------------------------------------------------
 */

struct frontend {
  struct address address;
  uint16_t port;
};

/* What flow `number` of a frontend's clients sends. */
static struct tuple request_of(struct address clients, const struct frontend *to, uint32_t number)
{
  return (struct tuple){plus(clients, number % 65536), to->address, CLIENT_PORT + number / 65536,
                        to->port};
}

/* A handshake. Returns false if there was no room for the flow; fails if it was done wrong. */
static bool establish(const struct tuple *request, struct tuple *translated)
{
  const struct device *clients = device_of(AT_CLIENTS), *backends = device_of(AT_BACKENDS);
  union frame frame = frame_of(request, SYN, clients);
  struct tuple reply, expected = reversed(request), seen;

  if (pass(&frame, clients) != SENT)
    return false;
  *translated = tuple_of(&frame);
  reply = reversed(translated);
  frame = frame_of(&reply, SYN | ACK, backends);
  if (pass(&frame, backends) != SENT)
    error(1, 0, "the reply to a handshake was not translated");
  seen = tuple_of(&frame);
  if (!same(&seen, &expected))
    error(1, 0, "the reply to a handshake was translated wrongly");
  frame = frame_of(request, ACK, clients);
  if (pass(&frame, clients) != SENT)
    error(1, 0, "the end of a handshake was not translated");
  seen = tuple_of(&frame);
  if (!same(&seen, translated))
    error(1, 0, "a flow has changed its backend");
  return true;
}

/* Some may fail where source ports are drawn; not many. */
static void check_share(const char *what, int failed, int tried)
{
  if (failed > tried / 100)
    error(1, 0, "%s: %d of %d failed", what, failed, tried);
}

static void shuffle(uint32_t *values, int length)
{
  for (int i = 0; i < length; i++) {
    int j = rand() % (i + 1);

    values[i] = values[j];
    values[j] = i;
  }
}

/*
 * Establishes the flows, and lists their requests and after them their replies, both in one order
 * that is not the one in which the flows were made. Returns where all replies go.
 */
static struct tuple list_flows(struct address clients, const struct frontend *frontend)
{
  uint32_t *order = calloc(flows, sizeof(*order));
  struct tuple translated = {}, reply = {};

  shuffle(order, flows);
  for (int i = 0; i < flows; i++) {
    struct tuple request = request_of(clients, frontend, i);
    struct address target = reply.destination;

    if (!establish(&request, &translated))
      error(1, 0, "flow %d could not be made", i);
    reply = reversed(&translated);
    if (i > 0 && memcmp(&target, &reply.destination, sizeof(target)) != 0)
      error(1, 0, "source NAT uses several addresses");
    variations[order[i]] = variation_of(&request);
    variations[flows + order[i]] = variation_of(&reply);
  }
  free(order);
  return reply;
}

/* Flows that were measured must still be what they were. */
static void check_flows(struct address clients, const struct frontend *frontend)
{
  for (int i = 0; i < flows; i += 64) {
    struct tuple request = request_of(clients, frontend, i), translated, before, reply;
    union frame frame = frame_of(&request, ACK, device_of(AT_CLIENTS));

    if (pass(&frame, device_of(AT_CLIENTS)) != SENT)
      error(1, 0, "flow %d has gone", i);
    translated = tuple_of(&frame);
    reply = reversed(&translated);
    frame = frame_of(&reply, ACK, device_of(AT_BACKENDS));
    if (pass(&frame, device_of(AT_BACKENDS)) != SENT)
      error(1, 0, "the replies of flow %d have gone", i);
    before = tuple_of(&frame);
    before = reversed(&before);
    if (!same(&before, &request))
      error(1, 0, "the replies of flow %d go elsewhere", i);
  }
}

/* As many established flows as the tables hold, whose entries are two. */
static void fill_tables(struct address clients, const struct frontend *frontend)
{
  int failed = 0, tried = 0;
  struct tuple translated;

  for (int i = flows; i < entries / 2; i++, tried++) {
    struct tuple request = request_of(clients, frontend, i);

    failed += !establish(&request, &translated);
  }
  check_share("established flows", failed, tried);
}

/* ---- measuring --------------------------------------------------------------------------------
 */

static void measure(const struct packets *packets, int round)
{
  const int runs = packets->fresh ? FRESH_BLOCK : flows;
  const bool nothing_first = rand() % 2;
  uint32_t nothing = 0, program;

  if (nothing_first)
    nothing = run(packets, NOTHING, runs);
  program = run(packets, packets->subject, runs);
  if (!nothing_first)
    nothing = run(packets, NOTHING, runs);
  if (round >= 0)
    printf("{\"round\":%d,\"case\":\"%s\",\"runs\":%d,\"nothing\":%u,\"program\":%u}\n", round,
           packets->name, runs, nothing, program);
}

static void measure_rounds(const struct packets *cases, int length)
{
  uint32_t order[SINGLES];

  for (int round = -WARM_UP_ROUNDS; round < rounds; round++) {
    shuffle(order, length);
    for (int i = 0; i < length; i++)
      measure(&cases[order[i]], round);
  }
}

/* One packet, listed behind all others. */
static struct packets one(const char *name, enum subject subject, struct address source,
                          uint16_t sport, struct address destination, uint16_t dport)
{
  static uint32_t last;
  struct tuple tuple = {source, destination, sport, dport};
  struct packets packets = {.name = name,
                            .subject = subject,
                            .frame = frame_of(&tuple, ACK, device_of(subject)),
                            .first = 2 * flows + last++,
                            .count = 1,
                            .verdict = PASSED};

  variations[packets.first] = variation_of(&tuple);
  return packets;
}

static void
measure_known(struct address clients, const struct frontend *frontend, struct address elsewhere)
{
  struct tuple request = request_of(clients, frontend, 0);
  struct tuple reply = list_flows(clients, frontend);
  struct packets requests = {
      .name = "all flows",
      .subject = AT_CLIENTS,
      .frame = frame_of(&request, ACK, device_of(AT_CLIENTS)),
      .count = flows,
      .verdict = SENT,
  };
  struct packets replies = requests, hot = requests;

  hot.name = "one flow";
  hot.count = 1;
  replies.name = "replies of all flows";
  replies.subject = AT_BACKENDS;
  replies.frame = frame_of(&reply, ACK, device_of(AT_BACKENDS));
  replies.first = flows;
  const struct packets cases[] = {
      one("FIB lookup", ROUTE, clients, CLIENT_PORT, elsewhere, WEB),
      one("no service", AT_CLIENTS, clients, CLIENT_PORT, elsewhere, WEB),
      one("no service, SNAT port", AT_CLIENTS, clients, SNAT_PORT, elsewhere, WEB),
      one("no service, service port", AT_CLIENTS, clients, CLIENT_PORT, elsewhere, frontend->port),
      hot,
      requests,
      replies,
  };
  measure_rounds(cases, sizeof(cases) / sizeof(cases[0]));
  check_flows(clients, frontend);
}

static void
measure_new(struct address clients, struct address newcomers, const struct frontend *frontend)
{
  struct packets fresh =
      one("new flow", AT_CLIENTS, newcomers, 0, frontend->address, frontend->port);
  struct tuple request = request_of(newcomers, frontend, 0);
  int failed = 0;

  fresh.fresh = true;
  fresh.frame = frame_of(&request, SYN, device_of(AT_CLIENTS));
  fresh.verdict = SENT;
  fill_tables(clients, frontend);
  /* Where new flows are kept apart, there has to be no room either. */
  run(&fresh, AT_CLIENTS, entries);
  measure_rounds(&fresh, 1);
  for (int i = 0; i < 1000; i++) {
    request = request_of(newcomers, frontend, i);
    union frame frame = frame_of(&request, SYN, device_of(AT_CLIENTS));

    failed += pass(&frame, device_of(AT_CLIENTS)) != SENT;
  }
  check_share("new flows", failed, 1000);
}

/* ---- arguments --------------------------------------------------------------------------------
 */

static int number(const char *text)
{
  char *end;
  long value = strtol(text, &end, 10);

  if (end == text || *end != '\0' || value < 1 || value > INT32_MAX)
    error(2, 0, "%s is not a number", text);
  return (int)value;
}

static struct address parse_address(const char *text)
{
  struct address address = {};

  if (inet_pton(v6 ? AF_INET6 : AF_INET, text, v6 ? &address.words[0] : &address.words[3]) != 1)
    error(2, 0, "%s is not an address of the frontend's family", text);
  return address;
}

int main(int argc, char **argv)
{
  cpu_set_t cpus;

  for (int option; (option = getopt(argc, argv, "r:f:e:c:")) != -1;) {
    if (option == 'r')
      rounds = number(optarg);
    if (option == 'f')
      flows = number(optarg);
    if (option == 'e')
      entries = number(optarg);
    if (option == 'c')
      cpu = number(optarg);
    if (option == '?')
      return 2;
  }
  if (argc - optind != 7)
    error(2, 0, "seven arguments are needed");
  argv += optind;
  v6 = strchr(argv[2], ':') != NULL;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
    error(1, errno, "sched_setaffinity");
  setpriority(PRIO_PROCESS, 0, -20);
  devices[AT_CLIENTS] = open_device(argv[0]);
  devices[AT_BACKENDS] = open_device(argv[1]);
  load(2 * flows + SINGLES);

  struct frontend frontend = {parse_address(argv[2]), number(argv[3])};
  struct address clients = parse_address(argv[4]), newcomers = parse_address(argv[5]);

  measure_known(clients, &frontend, parse_address(argv[6]));
  measure_new(clients, newcomers, &frontend);
  packets_bpf__destroy(skeleton);
  return 0;
}
