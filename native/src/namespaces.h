// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace lb {

struct NetworkNamespace {
  uint64_t cookie;  // SO_NETNS_COOKIE
  uint64_t inode;   // of /proc/thread-self/ns/net
};

// Of the calling thread.
NetworkNamespace CurrentNetworkNamespace();

// Runs `work` on a thread that has entered the network namespace at `path`, and waits for it.
void InNetworkNamespace(const std::string& path, const std::function<void()>& work);

// Of the file at `path`, below /proc or where it is mounted. The calling thread stays where it is.
NetworkNamespace NetworkNamespaceOf(const std::string& path);

// How far a look at all network namespaces came.
struct Visits {
  uint32_t namespaces = 0;  // that were visited
  uint32_t refused = 0;     // processes and namespaces that permissions hide
};

// Calls `visit` inside of every network namespace that a process is in, or that is mounted, once
// each, on a thread of its own. One that goes meanwhile is passed over. What `visit` throws ends
// it.
Visits VisitNetworkNamespaces(const std::function<void()>& visit);

}  // namespace lb
