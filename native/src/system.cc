// SPDX-License-Identifier: Apache-2.0
#include "system.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <exception>

#include "errors.h"
#include "file_descriptor.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace lb {

NetworkNamespace CurrentNetworkNamespace() {
  constexpr const char* kPath = "/proc/thread-self/ns/net";
  const FileDescriptor fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) throw SystemError(errno, "socket");
  uint64_t cookie = 0;
  socklen_t length = sizeof(cookie);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0) {
    throw SystemError(errno, "getsockopt", "SO_NETNS_COOKIE");
  }
  struct stat status{};
  if (stat(kPath, &status) != 0) throw SystemError(errno, "stat", kPath);
  return {cookie, status.st_ino};
}

void InNetworkNamespace(const std::string& path, const std::function<void()>& work) {
  struct Visit {
    const std::string& path;
    const std::function<void()>& work;
    std::exception_ptr failure;

    void Enter() {
      // Whatever else is there, a FIFO for one, must not block the open.
      const FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
      if (!fd) throw SystemError(errno, "open", path);
      if (setns(fd.get(), CLONE_NEWNET) != 0) throw SystemError(errno, "setns", path);
      work();
    }
  } visit{path, work, nullptr};
  // On a thread of its own, which ends in the other namespace: no way back is needed that could
  // fail.
  uv_thread_t thread;
  const int rc = uv_thread_create(
      &thread,
      [](void* data) {
        auto& visit = *static_cast<Visit*>(data);
        try {
          visit.Enter();
        } catch (...) {
          visit.failure = std::current_exception();
        }
      },
      &visit);
  if (rc != 0) throw SystemError(-rc, "pthread_create");
  uv_thread_join(&thread);
  if (visit.failure) std::rethrow_exception(visit.failure);
}

NetworkNamespace NetworkNamespaceOf(const std::string& path) {
  NetworkNamespace netns{};
  InNetworkNamespace(path, [&netns] { netns = CurrentNetworkNamespace(); });
  return netns;
}

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
