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

// Mounts a bpf file system of its own on a directory; the mount does not propagate.
void MountBpffs(const std::string& path);

// Returns after an RCU grace period: no BPF program still sees what was replaced before the call.
void WaitForGracePeriod();

// The magic number of the file system that holds `path`.
uint64_t FilesystemType(const std::string& path);

}  // namespace lb
