/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which destinations of sockets are looked up at all. */
#ifndef BPF_LB_SOCKET_H
#define BPF_LB_SOCKET_H

#include <linux/in.h>

#include "choose.h"

/* Why a socket goes its own way before any service is looked for. */
enum lb_aside {
  LB_ASIDE_NOT,
  LB_ASIDE_PROTOCOL, /* SCTP is translated packet by packet */
  LB_ASIDE_NO_SERVICE,
  LB_ASIDE_LOOPBACK,
  LB_ASIDE_POD,
  LB_ASIDE_EXCEPTION,
};

static __always_inline bool lb_socket_balanced(__u32 protocol)
{
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* What has to be known of a socket only if there may be a service. */
struct lb_socket {
  bool (*in_host_netns)(void *source);
  bool (*is_exception)(void *source); /* asked only while there are exceptions */
};

/* Completes the request for those that do not go aside. */
static __always_inline enum lb_aside
lb_socket_aside(struct lb_request *request, bool v6, struct lb_socket socket, void *source)
{
  const struct lb_settings *s;

  if (!lb_socket_balanced(request->protocol))
    return LB_ASIDE_PROTOCOL;
  request->hints = lb_port_hints(bpf_ntohs(request->port)) & (LB_PORT_FRONTEND | LB_PORT_WILDCARD);
  if (!request->hints && !lb_network_has_frontends(&request->to, v6))
    return LB_ASIDE_NO_SERVICE;
  request->loopback = lb_addr_is_loopback(&request->to, v6);
  /* Loopback addresses belong to the namespace that uses them: a pod's 127.0.0.1 stays its own. */
  if (request->loopback && !socket.in_host_netns(source))
    return LB_ASIDE_LOOPBACK;
  s = lb_settings();
  if (s && s->flags & LB_SETTING_HOST_SOCKETS_ONLY && !socket.in_host_netns(source))
    return LB_ASIDE_POD;
  if (s && s->flags & LB_SETTING_SOCKET_EXCEPTIONS && socket.is_exception(source))
    return LB_ASIDE_EXCEPTION;
  return LB_ASIDE_NOT;
}

#endif /* BPF_LB_SOCKET_H */
