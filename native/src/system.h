// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace lb {

// Mounts a bpf file system of its own on a directory; the mount does not propagate.
void MountBpffs(const std::string& path);

// Returns after an RCU grace period: no BPF program still sees what was replaced before the call.
void WaitForGracePeriod();

// The magic number of the file system that holds `path`.
uint64_t FilesystemType(const std::string& path);

}  // namespace lb
