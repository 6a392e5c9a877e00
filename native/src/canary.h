// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace lb {

struct CanaryResult {
  int connect_errno;
  std::string local;  // '' when not connected
  std::string peer;   // address:port, [address]:port; '' when not connected
};

// What a datagram socket of a process in the cgroup believes after connect(). Sends nothing.
// `address` is IPv4 or IPv6 text: throws ArgumentError otherwise. `netns` is the path of the
// network namespace that the socket is made in; '' for that of the calling thread.
CanaryResult ConnectInCgroup(const std::string& cgroup, const std::string& address, uint16_t port,
                             const std::string& netns);

// Whether it is the text of an IPv4 or IPv6 address.
bool IsAddress(const std::string& text);

}  // namespace lb
