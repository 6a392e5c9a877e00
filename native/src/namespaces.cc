// SPDX-License-Identifier: Apache-2.0
#include "namespaces.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <utility>

#include "errors.h"
#include "file_descriptor.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace lb {
namespace {

constexpr const char* kOwn = "/proc/thread-self/ns/net";

uint64_t InodeOf(const char* path) {
  struct stat status{};
  if (stat(path, &status) != 0) throw SystemError(errno, "stat", path);
  return status.st_ino;
}

// Runs `work` on a thread that ends in whatever namespace it has entered: no way back is needed
// that could fail.
void OnThread(const std::function<void()>& work) {
  struct Call {
    const std::function<void()>& work;
    std::exception_ptr failure;
  } call{work, nullptr};
  uv_thread_t thread;
  const int rc = uv_thread_create(
      &thread,
      [](void* data) {
        auto& call = *static_cast<Call*>(data);
        try {
          call.work();
        } catch (...) {
          call.failure = std::current_exception();
        }
      },
      &call);
  if (rc != 0) throw SystemError(-rc, "pthread_create");
  uv_thread_join(&thread);
  if (call.failure) std::rethrow_exception(call.failure);
}

void Enter(const std::string& path) {
  // Whatever else is there, a FIFO for one, must not block the open.
  const FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) throw SystemError(errno, "open", path);
  if (setns(fd.get(), CLONE_NEWNET) != 0) throw SystemError(errno, "setns", path);
}

bool IsRefusal(int error) { return error == EPERM || error == EACCES; }

// The inode in 'net:[4026531840]'; 0 when it is something else.
uint64_t InodeIn(const std::string& name) {
  const std::string prefix = "net:[";
  if (name.compare(0, prefix.size(), prefix) != 0) return 0;
  return std::strtoull(name.c_str() + prefix.size(), nullptr, 10);
}

// A path of mountinfo, where blanks and backslashes are written as octal numbers.
std::string Unescaped(const std::string& text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      path += static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      path += text[i];
    }
  }
  return path;
}

// Goes through all namespaces, each by the first path that leads to it.
class Tour {
 public:
  explicit Tour(const std::function<void()>& visit) : visit_(visit) {}

  Visits Run() {
    // The own one needs no permission.
    seen_.insert(InodeOf(kOwn));
    Visit();
    GoThroughMounts();
    GoThroughProcesses();
    return visits_;
  }

 private:
  void Visit() {
    visit_();
    ++visits_.namespaces;
  }

  void GoTo(uint64_t inode, const std::string& path) {
    if (inode == 0 || seen_.count(inode) > 0) return;
    try {
      Enter(path);
    } catch (const SystemError& error) {
      if (!IsRefusal(error.error)) return;
      seen_.insert(inode);
      ++visits_.refused;
      return;
    }
    // The path may lead to another one by now.
    if (seen_.insert(InodeOf(kOwn)).second) Visit();
  }

  void GoThroughMounts() {
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
      std::istringstream words(line);
      std::string id, parent, device, root, point;
      words >> id >> parent >> device >> root >> point;
      GoTo(InodeIn(root), Unescaped(point));
    }
  }

  void GoThroughProcesses() {
    const std::unique_ptr<DIR, int (*)(DIR*)> processes(opendir("/proc"), closedir);
    if (!processes) throw SystemError(errno, "opendir", "/proc");
    while (const dirent* entry = readdir(processes.get())) {
      if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
      const std::string path = std::string("/proc/") + entry->d_name + "/ns/net";
      std::array<char, 64> name{};
      if (readlink(path.c_str(), name.data(), name.size() - 1) >= 0) {
        GoTo(InodeIn(name.data()), path);
      } else if (IsRefusal(errno)) {
        ++visits_.refused;
      }
    }
  }

  const std::function<void()>& visit_;
  std::set<uint64_t> seen_;
  Visits visits_;
};

}  // namespace

NetworkNamespace CurrentNetworkNamespace() {
  const FileDescriptor fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) throw SystemError(errno, "socket");
  uint64_t cookie = 0;
  socklen_t length = sizeof(cookie);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0) {
    throw SystemError(errno, "getsockopt", "SO_NETNS_COOKIE");
  }
  return {cookie, InodeOf(kOwn)};
}

void InNetworkNamespace(const std::string& path, const std::function<void()>& work) {
  OnThread([&] {
    Enter(path);
    work();
  });
}

NetworkNamespace NetworkNamespaceOf(const std::string& path) {
  NetworkNamespace netns{};
  InNetworkNamespace(path, [&netns] { netns = CurrentNetworkNamespace(); });
  return netns;
}

Visits VisitNetworkNamespaces(const std::function<void()>& visit) {
  Visits visits;
  OnThread([&] { visits = Tour(visit).Run(); });
  return visits;
}

}  // namespace lb
