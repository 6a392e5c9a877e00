// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Socket load balancing: a destination is translated before the first packet is built, so that
 * no packet needs to be. Attached to a cgroup v2 directory; covers the host and all its pods.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/errno.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "choose.h"
#include "client.h"
#include "cookie.h"
#include "origin.h"
#include "shadow.h"
#include "socket.h"
#include "verdict.h"

enum { LB_REJECT = 0, LB_PROCEED = 1 };

/* cgroups nest deeper only by design. */
#define CGROUP_LEVELS 16

static __always_inline bool in_host_netns(void *ctx)
{
  const struct lb_settings *s = lb_settings();

  return s && bpf_get_netns_cookie(ctx) == s->host_netns;
}

static __always_inline int reject(int error)
{
  bpf_set_retval(-error);
  return LB_REJECT;
}

/*
 * A datagram socket may be connected again. One that was translated and now goes its own way must
 * not be told of the frontend any more, should its new peer be the same backend.
 */
static __always_inline int untranslated(struct bpf_sock_addr *ctx, bool connected)
{
  if (connected && ctx->protocol == IPPROTO_UDP)
    lb_origin_forget((struct bpf_sock *)ctx->sk, lb_cookie_of_caller(ctx));
  return LB_PROCEED;
}

/* Whether a new connection is not ours to translate: not any more, or not yet. */
static __always_inline bool is_others(const struct lb_choice *choice)
{
  const struct lb_settings *s = lb_settings();

  return s && s->flags & (LB_SETTING_RELEASING | LB_SETTING_SHADOW) &&
         !(choice->flags & LB_SERVICE_CANARY);
}

/* What we would have done to a socket of others. */
static __noinline int tell(struct bpf_sock_addr *ctx, const struct lb_request *request,
                           enum lb_choice_result result, const struct lb_choice *choice, bool v6)
{
  const struct lb_settings *s = lb_settings();
  enum lb_fate fate = lb_socket_verdict(result).fate;
  struct lb_decision decision;
  struct lb_addr client = {};

  if (!s || (s->flags & (LB_SETTING_RELEASING | LB_SETTING_SHADOW)) != LB_SETTING_SHADOW)
    return 0;
  if (lb_yields(result) && lb_address_flags(&request->to, v6) & LB_ADDRESS_NODE)
    return 0;
  lb_decision_fill(&decision, &request->to, request->port, request->protocol, LB_SIDE_SOCKET, fate,
                   result, choice);
  lb_client_of(ctx, v6, &client);
  return lb_decision_tell(&decision, &client, 0);
}

/* Whether the sockets of this namespace, or of the caller's cgroup or one above, are left alone. */
static __noinline bool is_exception(struct bpf_sock_addr *ctx)
{
  struct lb_exception key = {.id = bpf_get_netns_cookie(ctx), .kind = LB_EXCEPTION_NETNS};

  if (bpf_map_lookup_elem(&exceptions, &key))
    return true;
  key.kind = LB_EXCEPTION_CGROUP;
  for (int level = 0; level < CGROUP_LEVELS; level++) {
    key.id = bpf_get_current_ancestor_cgroup_id(level);
    if (!key.id)
      break;
    if (bpf_map_lookup_elem(&exceptions, &key))
      return true;
  }
  return false;
}

/* A socket that asks for a destination. */
struct asker {
  struct bpf_sock_addr *ctx;
  bool connected;
};

/*
 * Every connect() is a choice of its own, a datagram is not: an unconnected socket stays with its
 * backend. The cookie, which is needed anyway, and the time make a number that is random enough for
 * less than the helper's costs.
 */
static __u64 draw(void *source)
{
  struct asker *asker = source;
  __u64 mixed = bpf_get_socket_cookie(asker->ctx);

  if (asker->connected)
    mixed ^= bpf_jiffies64() << 32;
  return lb_mix(mixed);
}

/* Before Linux 6.2 a namespace is a client of its own, which no packet's address names. */
static __always_inline bool client_of(void *source, struct lb_addr *client, bool v6)
{
  struct bpf_sock_addr *ctx = ((struct asker *)source)->ctx;
  __u64 netns;

  if (lb_client_of(ctx, v6, client))
    return true;
  netns = bpf_get_netns_cookie(ctx);
  *client = (struct lb_addr){{0, 0, (__u32)(netns >> 32), (__u32)netns}};
  return false;
}

static bool client4(void *source, struct lb_addr *client)
{
  return client_of(source, client, false);
}

static bool client6(void *source, struct lb_addr *client)
{
  return client_of(source, client, true);
}

static bool caller_in_host_netns(void *source)
{
  return in_host_netns(((struct asker *)source)->ctx);
}

static bool caller_is_exception(void *source)
{
  return is_exception(((struct asker *)source)->ctx);
}

/*
 * Translates the destination `to` of a socket in place. Returns what the hook has to return.
 *
 * A rule that says silence must look like the silence it is in the packet path, not like a refusal:
 * the caller gets the error that the silence would end in.
 */
static __always_inline int
translate(struct bpf_sock_addr *ctx, struct lb_addr *to, __be16 *port, bool v6, bool connected)
{
  struct lb_choice choice = {};
  struct lb_origin origin;
  struct asker source = {.ctx = ctx, .connected = connected};
  struct lb_asker asker = {.draw = draw, .client = v6 ? client6 : client4, .port = draw};
  struct lb_socket socket = {caller_in_host_netns, caller_is_exception};
  struct lb_request request = {.to = *to, .port = *port, .protocol = ctx->protocol};
  struct lb_verdict verdict;
  enum lb_choice_result result;
  __u64 cookie;

  if (lb_socket_aside(&request, v6, socket, &source) != LB_ASIDE_NOT)
    return untranslated(ctx, connected);
  result = lb_choose(&request, v6, LB_SIDE_SOCKET, asker, &source, &choice);
  if (is_others(&choice)) {
    tell(ctx, &request, result, &choice, v6);
    return untranslated(ctx, connected);
  }
  /* An address of this node may have more than its services. */
  if (lb_yields(result) && lb_address_flags(to, v6) & LB_ADDRESS_NODE)
    return untranslated(ctx, connected);
  verdict = lb_socket_verdict(result);
  switch (verdict.fate) {
  case LB_FATE_FORWARD:
    break;
  case LB_FATE_PASS:
    return untranslated(ctx, connected);
  case LB_FATE_DROP:
    lb_count(verdict.counter);
    return reject(ETIMEDOUT);
  default:
    lb_count(verdict.counter);
    return reject(ECONNREFUSED);
  }

  lb_addr_copy(origin.frontend, to->word);
  lb_addr_copy(origin.backend, choice.address.word);
  origin.frontend_port = *port;
  origin.backend_port = choice.port;
  origin.service = choice.service;
  origin.counted = connected && choice.flags & LB_SERVICE_LEAST ? ctx->protocol : 0;
  cookie = bpf_get_socket_cookie(ctx);
  if (!lb_origin_put((struct bpf_sock *)ctx->sk, cookie, &origin, connected)) {
    lb_count(LB_COUNTER_SOCKET_ORIGIN_LOST);
    return reject(ENOMEM);
  }
  lb_count(LB_COUNTER_SOCKET_TRANSLATED);
  *to = choice.address;
  *port = choice.port;
  return LB_PROCEED;
}

static __always_inline int forward4(struct bpf_sock_addr *ctx, bool connected)
{
  struct lb_addr to = lb_addr_from4(ctx->user_ip4);
  __be16 port = (__be16)ctx->user_port;
  __be16 asked = port;
  __be32 address = to.word[3];
  int verdict = translate(ctx, &to, &port, false, connected);

  if (verdict == LB_PROCEED && (to.word[3] != address || port != asked)) {
    ctx->user_ip4 = to.word[3];
    ctx->user_port = port;
  }
  return verdict;
}

static __always_inline struct lb_addr user_ip6(struct bpf_sock_addr *ctx)
{
  return (struct lb_addr){{ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}};
}

static __always_inline void set_user_ip6(struct bpf_sock_addr *ctx, const __be32 *address)
{
  ctx->user_ip6[0] = address[0];
  ctx->user_ip6[1] = address[1];
  ctx->user_ip6[2] = address[2];
  ctx->user_ip6[3] = address[3];
}

static __always_inline int forward6(struct bpf_sock_addr *ctx, bool connected)
{
  struct lb_addr to = user_ip6(ctx);
  __be16 port = (__be16)ctx->user_port;
  int verdict;

  /* A mapped address follows the IPv4 table, and its backend is an IPv4 one. */
  if (lb_addr_is4(&to))
    verdict = translate(ctx, &to, &port, false, connected);
  else
    verdict = translate(ctx, &to, &port, true, connected);
  if (verdict == LB_PROCEED) {
    set_user_ip6(ctx, to.word);
    ctx->user_port = port;
  }
  return verdict;
}

/* Rewrites the peer that a socket sees from the backend to the frontend. */
static __always_inline const struct lb_origin *
reverse(struct bpf_sock_addr *ctx, const struct lb_addr *from)
{
  return lb_origin_get((struct bpf_sock *)ctx->sk, lb_cookie_of_caller(ctx), from,
                       (__be16)ctx->user_port);
}

static __always_inline int reverse4(struct bpf_sock_addr *ctx)
{
  struct lb_addr from = lb_addr_from4(ctx->user_ip4);
  const struct lb_origin *origin = reverse(ctx, &from);

  if (origin) {
    ctx->user_ip4 = origin->frontend[3];
    ctx->user_port = origin->frontend_port;
  }
  return LB_PROCEED;
}

static __always_inline int reverse6(struct bpf_sock_addr *ctx)
{
  struct lb_addr from = user_ip6(ctx);
  const struct lb_origin *origin = reverse(ctx, &from);

  if (origin) {
    set_user_ip6(ctx, origin->frontend);
    ctx->user_port = origin->frontend_port;
  }
  return LB_PROCEED;
}

/* A socket of the host that took a NodePort's port would wait for connections that never come. */
static __always_inline int guard_bind(struct bpf_sock *ctx, const struct lb_addr *address, bool v6)
{
  __u16 port = (__u16)ctx->src_port;
  __u8 hints = lb_port_hints(port);
  const struct lb_service *service = NULL;
  __u64 check;

  if (!(hints & (LB_PORT_FRONTEND | LB_PORT_WILDCARD)) || !lb_socket_balanced(ctx->protocol) ||
      !in_host_netns(ctx))
    return LB_PROCEED;
  if (hints & LB_PORT_FRONTEND)
    service = lb_service_find(address, bpf_htons(port), ctx->protocol, v6, &check);
  if (!service && hints & LB_PORT_WILDCARD) {
    struct lb_addr any = {};

    service = lb_service_find(&any, bpf_htons(port), ctx->protocol, v6, &check);
  }
  if (service && service->flags & LB_SERVICE_BIND && !lb_shadows())
    return reject(EADDRINUSE);
  return LB_PROCEED;
}

SEC("cgroup/connect4")
int bpf_lb_connect4(struct bpf_sock_addr *ctx) { return forward4(ctx, true); }

SEC("cgroup/connect6")
int bpf_lb_connect6(struct bpf_sock_addr *ctx) { return forward6(ctx, true); }

SEC("cgroup/sendmsg4")
int bpf_lb_sendmsg4(struct bpf_sock_addr *ctx) { return forward4(ctx, false); }

SEC("cgroup/sendmsg6")
int bpf_lb_sendmsg6(struct bpf_sock_addr *ctx) { return forward6(ctx, false); }

SEC("cgroup/recvmsg4")
int bpf_lb_recvmsg4(struct bpf_sock_addr *ctx) { return reverse4(ctx); }

SEC("cgroup/recvmsg6")
int bpf_lb_recvmsg6(struct bpf_sock_addr *ctx) { return reverse6(ctx); }

SEC("cgroup/getpeername4")
int bpf_lb_peername4(struct bpf_sock_addr *ctx) { return reverse4(ctx); }

SEC("cgroup/getpeername6")
int bpf_lb_peername6(struct bpf_sock_addr *ctx) { return reverse6(ctx); }

SEC("cgroup/post_bind4")
int bpf_lb_bind4(struct bpf_sock *ctx)
{
  struct lb_addr address = lb_addr_from4(ctx->src_ip4);

  return guard_bind(ctx, &address, false);
}

SEC("cgroup/post_bind6")
int bpf_lb_bind6(struct bpf_sock *ctx)
{
  struct lb_addr address = {{ctx->src_ip6[0], ctx->src_ip6[1], ctx->src_ip6[2], ctx->src_ip6[3]}};

  if (lb_addr_is4(&address))
    return guard_bind(ctx, &address, false);
  /* A socket bound to :: takes the port of both families. */
  if (guard_bind(ctx, &address, true) == LB_REJECT)
    return LB_REJECT;
  if (address.word[0] || address.word[1] || address.word[2] || address.word[3])
    return LB_PROCEED;
  return guard_bind(ctx, &address, false);
}

SEC("cgroup/sock_release")
int bpf_lb_release(struct bpf_sock *ctx)
{
  lb_origin_release(lb_cookie_of_sock(ctx));
  return LB_PROCEED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
