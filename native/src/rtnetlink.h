// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lb {

struct NetworkLink {
  uint32_t ifindex;
  std::string name;
  uint32_t flags;    // IFF_*
  std::string kind;  // IFLA_INFO_KIND
  uint32_t master;
  uint32_t mtu;
  uint16_t type;  // ARPHRD_*
  bool leads_to_another_namespace;
};

struct NetworkAddress {
  uint32_t ifindex;
  std::vector<uint8_t> address;  // 4 or 16 bytes
  uint8_t prefix_length;
  uint8_t scope;   // RT_SCOPE_*
  uint32_t flags;  // IFA_F_*
};

struct NetworkRoute {
  int family;  // 4 or 6
  uint32_t ifindex;
  std::vector<uint8_t> destination;
  uint8_t prefix_length;
  uint32_t metric;
  bool gateway;
  uint32_t table;
};

struct Network {
  std::vector<NetworkLink> links;
  std::vector<NetworkAddress> addresses;
  std::vector<NetworkRoute> routes;
};

// Links, addresses and unicast routes of the calling thread's network namespace.
Network ReadNetwork();

// The same of one piece of a dump, as the kernel sends it. What is malformed is left out.
Network ParseNetwork(const uint8_t* bytes, size_t size);

}  // namespace lb
