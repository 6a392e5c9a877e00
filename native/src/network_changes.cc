// SPDX-License-Identifier: Apache-2.0
#include "network_changes.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "errors.h"

namespace lb {
namespace {

constexpr int kGroups[] = {RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                           RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
                           RTNLGRP_IPV6_RULE,  RTNLGRP_NEXTHOP};

// In one turn of the event loop: many routes that come at once are one event all the same.
constexpr int kMessages = 4096;

}  // namespace

NetworkChanges::NetworkChanges()
    : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)) {
  if (!socket_) throw SystemError(errno, "socket", "NETLINK_ROUTE");
  // Without a port the kernel takes it for its own socket, which gets no messages.
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw SystemError(errno, "bind", "NETLINK_ROUTE");
  }
  for (const int group : kGroups) {
    if (setsockopt(socket_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) !=
        0) {
      throw SystemError(errno, "setsockopt", "NETLINK_ADD_MEMBERSHIP");
    }
  }
}

void NetworkChanges::Read(const Deliver& deliver) {
  bool changed = false;
  char message;  // the kernel throws away what does not fit
  for (int i = 0; i < kMessages; ++i) {
    if (recv(socket_.get(), &message, sizeof(message), 0) < 0 && errno == EAGAIN) break;
    // Every other failure (ENOBUFS above all) means that messages were lost: something has changed.
    changed = true;
  }
  if (changed) deliver({});
}

}  // namespace lb
