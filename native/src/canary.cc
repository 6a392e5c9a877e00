// SPDX-License-Identifier: Apache-2.0
#include "canary.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "errors.h"
#include "file_descriptor.h"

namespace lb {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{2000};

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

// What the child tells through the pipe. Trivially copyable: it crosses in one write().
struct Report {
  int join_errno;    // of entering the cgroup
  int netns_errno;   // of entering the network namespace
  int socket_errno;  // of making the socket, or asking it for its addresses
  int connect_errno;
  SocketAddress local;
  SocketAddress peer;
};

bool Parse(const std::string& text, uint16_t port, SocketAddress& address) {
  address = {};
  if (inet_pton(AF_INET, text.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    return true;
  }
  if (inet_pton(AF_INET6, text.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    return true;
  }
  return false;
}

std::string Text(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = address.any.sa_family == AF_INET6
                          ? static_cast<const void*>(&address.v6.sin6_addr)
                          : static_cast<const void*>(&address.v4.sin_addr);
  inet_ntop(address.any.sa_family, bytes, text.data(), text.size());
  return text.data();
}

std::string TextWithPort(const SocketAddress& address) {
  return address.any.sa_family == AF_INET6
             ? "[" + Text(address) + "]:" + std::to_string(ntohs(address.v6.sin6_port))
             : Text(address) + ":" + std::to_string(ntohs(address.v4.sin_port));
}

// A directory of the cgroup file system, removed at the end.
class Cgroup {
 public:
  explicit Cgroup(const std::string& parent) {
    path_ = parent + "/bpf-lb-canary-" + std::to_string(getpid()) + "-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) throw SystemError(errno, "mkdtemp", path_);
  }
  ~Cgroup() {
    // Busy for a moment after its last process was reaped.
    for (int attempt = 0; rmdir(path_.c_str()) != 0 && errno == EBUSY && attempt < 100; ++attempt) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Keeps signals from this thread, and so from a child forked by it: a handler of Node's in the
// child would write to the pipe that tells the parent's event loop about signals.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// A forked process: killed, if need be, and reaped at the end.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    kill(pid_, SIGKILL);  // no effect on one that has exited
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  const pid_t pid_;
};

// The child's whole life. Only async-signal-safe functions: other threads of the parent may have
// held any lock when it was forked.
[[noreturn]] void RunChild(int procs_fd, int netns_fd, int report_fd, const SocketAddress& target) {
  Report report{};
  if (write(procs_fd, "0", 1) != 1) {
    report.join_errno = errno;
  } else if (netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) != 0) {
    report.netns_errno = errno;
  } else {
    const int fd = socket(target.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      report.socket_errno = errno;
    } else if (connect(fd, &target.any, sizeof(target)) != 0) {
      report.connect_errno = errno;
    } else {
      socklen_t local_length = sizeof(report.local);
      socklen_t peer_length = sizeof(report.peer);
      if (getsockname(fd, &report.local.any, &local_length) != 0 ||
          getpeername(fd, &report.peer.any, &peer_length) != 0) {
        report.socket_errno = errno;
      }
    }
  }
  const ssize_t written = write(report_fd, &report, sizeof(report));
  _exit(written == static_cast<ssize_t>(sizeof(report)) ? 0 : 1);
}

Report ReadReport(int fd) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) throw SystemError(ETIMEDOUT, "connect", "canary");
    pollfd wait{fd, POLLIN, 0};
    const int ready = poll(&wait, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) throw SystemError(errno, "poll", "canary");
    if (ready <= 0) continue;
    Report report{};
    const ssize_t length = read(fd, &report, sizeof(report));
    if (length == static_cast<ssize_t>(sizeof(report))) return report;
    // End of file: the child died without a word.
    throw SystemError(length < 0 ? errno : ECHILD, "read", "canary");
  }
}

}  // namespace

bool IsAddress(const std::string& text) {
  SocketAddress address;
  return Parse(text, 0, address);
}

CanaryResult ConnectInCgroup(const std::string& cgroup, const std::string& address, uint16_t port,
                             const std::string& netns) {
  SocketAddress target;
  if (!Parse(address, port, target)) throw ArgumentError("'" + address + "' is not an IP address");
  FileDescriptor namespace_fd;
  if (!netns.empty()) {
    // Whatever else is there, a FIFO for one, must not block the open.
    namespace_fd = FileDescriptor(open(netns.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!namespace_fd) throw SystemError(errno, "open", netns);
  }
  const Cgroup home(cgroup);
  const FileDescriptor procs(open((home.path() + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!procs) throw SystemError(errno, "open", home.path() + "/cgroup.procs");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw SystemError(errno, "pipe2", "canary");
  const FileDescriptor reader(ends[0]);
  FileDescriptor writer(ends[1]);

  pid_t pid;
  {
    const SignalsBlocked blocked;
    pid = fork();
    if (pid == 0) RunChild(procs.get(), namespace_fd.get(), writer.get(), target);
  }
  if (pid < 0) throw SystemError(errno, "fork", "canary");
  const Child child(pid);  // reaped before the cgroup is removed
  writer.Close();

  const Report report = ReadReport(reader.get());
  if (report.join_errno != 0)
    throw SystemError(report.join_errno, "write", home.path() + "/cgroup.procs");
  if (report.netns_errno != 0) throw SystemError(report.netns_errno, "setns", netns);
  if (report.socket_errno != 0) throw SystemError(report.socket_errno, "socket", "canary");
  if (report.connect_errno != 0) return {report.connect_errno, "", ""};
  return {0, Text(report.local), TextWithPort(report.peer)};
}

}  // namespace lb
