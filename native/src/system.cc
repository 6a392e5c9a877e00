// SPDX-License-Identifier: Apache-2.0
#include "system.h"

#include <linux/membarrier.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "errors.h"

namespace lb {

void MountBpffs(const std::string& path) {
  // Without a mode everybody may write to it.
  if (mount("bpffs", path.c_str(), "bpf", 0, "mode=0700") != 0) {
    throw SystemError(errno, "mount", path);
  }
  if (mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) != 0) {
    const int error = errno;
    umount(path.c_str());
    throw SystemError(error, "mount", path);
  }
}

void WaitForGracePeriod() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) {
    throw SystemError(errno, "membarrier");
  }
}

uint64_t FilesystemType(const std::string& path) {
  struct statfs status{};
  if (statfs(path.c_str(), &status) != 0) throw SystemError(errno, "statfs", path);
  // A signed word on some machines: numbers above 2^31 must not turn negative.
  return static_cast<uint32_t>(status.f_type);
}

}  // namespace lb
