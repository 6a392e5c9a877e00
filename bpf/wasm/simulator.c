// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The decisions of the programs, as a WebAssembly module. lib/simulator/decision-module.ts fills
 * the question, calls a function, and reads the answer; it has the tables, too.
 */
#include "masquerade.h"
#include "socket.h"
#include "verdict.h"

#define EXPORT __attribute__((visibility("default"), used))

/* ---- the tables, for who holds them ------------------------------------------------------------
 */

struct table {
  const char *name;
  const void *map;
  void *values; /* of an array: where to write the place of its elements */
  __u32 type;   /* enum bpf_map_type */
  __u32 key_size;
  __u32 value_size;
};

#define TABLE(map)                                                                                 \
  {#map, &(map), &(map).value, LB_MAP_TYPE(&(map)), sizeof(*(map).key), sizeof(*(map).value)}

/* Those that decisions read. The last has no name. */
EXPORT const struct table tables[] = {
    TABLE(services4),
    TABLE(services6),
    TABLE(backends),
    TABLE(maglev),
    TABLE(ranges4),
    TABLE(ranges6),
    TABLE(frontends4),
    TABLE(frontends6),
    TABLE(ports),
    TABLE(networks),
    TABLE(settings),
    TABLE(addresses4),
    TABLE(addresses6),
    TABLE(devices),
    TABLE(affinities),
    TABLE(loads),
    {},
};

/* ---- question and answer: words, in the order that decision-module.ts knows --------------------
 */

EXPORT struct {
  struct lb_addr from;
  struct lb_addr to;
  __u32 seed_low;
  __u32 seed_high;
  __u32 from_port; /* host byte order */
  __u32 port;      /* likewise */
  __u32 protocol;
  __u32 v6;
  __u32 in_host_netns; /* of a socket */
  __u32 ifindex;       /* of the device that a packet enters through */
} question;

EXPORT struct {
  const char *verdict;
  const char *reason;
  struct lb_addr backend;
  __u32 backend_port; /* host byte order */
  __u32 snat;
  /* What is on offer, if a frontend was found. */
  __u32 found;
  __u32 service;
  __u32 flags; /* enum lb_service_flag */
  __u32 narrowed;
  __u32 first;
  __u32 count;
} answer;

static const char *const verdicts[] = {
    [LB_FATE_FORWARD] = "forward", [LB_FATE_PASS] = "untouched", [LB_FATE_REJECT] = "reject",
    [LB_FATE_DROP] = "drop",       [LB_FATE_UNROUTED] = "drop",
};

static const char *const reasons[] = {
    [LB_CHOSEN] = "chosen",
    [LB_NO_SERVICE] = "no-service",
    [LB_NO_BACKEND] = "no-backend",
    [LB_NO_LOCAL_BACKEND] = "no-local-backend",
    [LB_DENIED] = "denied-by-source-ranges",
    [LB_NOT_OUTSIDE] = "not-served-outside",
    [LB_UNKNOWN_PORT] = "unknown-port",
    [LB_UNSERVED_PORT] = "unserved-port",
    [LB_UNALLOCATED] = "unallocated-cluster-ip",
    [LB_UNDECIDED] = "unknown-connection",
    [LB_TORN] = "service-changing",
};

static const char *const asides[] = {
    [LB_ASIDE_PROTOCOL] = "protocol-not-translated", [LB_ASIDE_NO_SERVICE] = "no-service",
    [LB_ASIDE_LOOPBACK] = "loopback-of-pod",         [LB_ASIDE_POD] = "pod-socket",
    [LB_ASIDE_EXCEPTION] = "socket-exception",
};

static void answer_with(enum lb_fate fate, const char *reason)
{
  answer.verdict = verdicts[fate];
  answer.reason = reason;
}

/* ---- who asks ----------------------------------------------------------------------------------
 */

static __u64 draw(void *side)
{
  return lb_mix((__u64)question.seed_high << 32 | question.seed_low);
}

static bool client(void *side, struct lb_addr *client)
{
  *client = question.from;
  return true;
}

static __u64 port(void *side)
{
  return *(enum lb_side *)side == LB_SIDE_SOCKET ? draw(side) : bpf_htons(question.from_port);
}

static void offered(void *side, const struct lb_offer *offer)
{
  bool inside = *(enum lb_side *)side != LB_SIDE_OUTSIDE;

  answer.found = true;
  answer.service = offer->id;
  answer.flags = offer->flags;
  answer.narrowed =
      !!(offer->flags & (inside ? LB_SERVICE_INSIDE_LOCAL : LB_SERVICE_OUTSIDE_LOCAL));
  answer.first = offer->first;
  answer.count = offer->count;
}

static bool in_host_netns(void *source) { return question.in_host_netns; }

/* Namespaces and cgroups are not asked for. */
static bool is_exception(void *source) { return false; }

/* ---- decisions ---------------------------------------------------------------------------------
 */

static struct lb_request ask(void)
{
  answer = (typeof(answer)){};
  return (struct lb_request){
      .to = question.to,
      .port = bpf_htons(question.port),
      .protocol = question.protocol,
      .hints = lb_port_hints(question.port),
  };
}

static enum lb_choice_result
choose(const struct lb_request *request, enum lb_side side, struct lb_choice *choice)
{
  struct lb_asker asker = {draw, client, port, offered};

  return question.v6 ? lb_choose(request, true, side, asker, &side, choice)
                     : lb_choose(request, false, side, asker, &side, choice);
}

/* Fills the answer with what becomes of a request. */
static void
tell(enum lb_choice_result result, struct lb_verdict verdict, const struct lb_choice *choice)
{
  if (lb_yields(result) && lb_address_flags(&question.to, question.v6) & LB_ADDRESS_NODE) {
    answer_with(LB_FATE_PASS, "own-address");
  } else if (result == LB_NO_SERVICE && answer.found) {
    answer_with(LB_FATE_PASS, "not-served-inside");
  } else {
    answer_with(verdict.fate, reasons[result]);
  }
  if (result == LB_CHOSEN) {
    answer.backend = choice->address;
    answer.backend_port = bpf_ntohs(choice->port);
  }
}

/* A call to connect(), or to sendmsg() of a socket that is not connected. */
EXPORT void decide_socket(void)
{
  struct lb_socket socket = {in_host_netns, is_exception};
  struct lb_request request = ask();
  struct lb_choice choice = {};
  enum lb_aside aside = lb_socket_aside(&request, question.v6, socket, NULL);
  enum lb_choice_result result;

  if (aside != LB_ASIDE_NOT) {
    answer_with(LB_FATE_PASS, asides[aside]);
    return;
  }
  result = choose(&request, LB_SIDE_SOCKET, &choice);
  tell(result, lb_socket_verdict(result), &choice);
}

/* The first packet of a flow. */
EXPORT void decide_packet(void)
{
  const struct lb_device *device = bpf_map_lookup_elem(&devices, &question.ifindex);
  const struct lb_settings *s = lb_settings();
  struct lb_request request = ask();
  struct lb_choice choice = {};
  enum lb_choice_result result;
  bool inside;

  if (!device || !s) {
    answer_with(LB_FATE_PASS, "device-not-selected");
    return;
  }
  inside = device->role == LB_DEVICE_POD;
  result = choose(&request, inside ? LB_SIDE_POD : LB_SIDE_OUTSIDE, &choice);
  tell(result, lb_packet_verdict(result, s->flags), &choice);
  if (result == LB_CHOSEN)
    answer.snat = lb_masquerades(&choice, &question.from, inside, s->flags);
}
