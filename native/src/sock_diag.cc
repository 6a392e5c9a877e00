// SPDX-License-Identifier: Apache-2.0
#include "sock_diag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "../../bpf/abi.h"
#include "errors.h"
#include "file_descriptor.h"
#include "namespaces.h"

namespace lb {
namespace {

constexpr uint32_t kAllStates = UINT32_MAX;

void CopyAddress(__be32* to, const __be32* wide, uint8_t family) {
  if (family == AF_INET) {
    to[0] = wide[3];
  } else {
    std::memcpy(to, wide, 4 * sizeof(*wide));
  }
}

inet_diag_req_v2 RequestFor(const lb_translated& socket) {
  inet_diag_req_v2 request{};
  request.sdiag_family = socket.family;
  request.sdiag_protocol = socket.protocol;
  request.idiag_states = kAllStates;
  request.id.idiag_sport = socket.source_port;
  request.id.idiag_dport = socket.origin.backend_port;
  CopyAddress(request.id.idiag_src, socket.source, socket.family);
  CopyAddress(request.id.idiag_dst, socket.origin.backend, socket.family);
  request.id.idiag_if = socket.ifindex;
  request.id.idiag_cookie[0] = static_cast<uint32_t>(socket.cookie);
  request.id.idiag_cookie[1] = static_cast<uint32_t>(socket.cookie >> 32);
  return request;
}

// The kernel finds the socket by both ends, and compares its cookie: one that has gone elsewhere is
// not found. Returns an errno, or 0.
int Destroy(int diag, const lb_translated& socket) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 body;
  } request{};
  request.header = {sizeof(request), SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, 0, 0};
  request.body = RequestFor(socket);
  if (send(diag, &request, sizeof(request), 0) < 0) return errno;
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char echo[sizeof(request)];
  } answer{};
  const ssize_t length = recv(diag, &answer, sizeof(answer), 0);
  if (length < 0) return errno;
  if (static_cast<size_t>(length) < NLMSG_LENGTH(sizeof(nlmsgerr)) ||
      answer.header.nlmsg_type != NLMSG_ERROR) {
    return EBADMSG;
  }
  return -answer.error.error;
}

}  // namespace

std::vector<uint8_t> DestroySockets(const std::vector<uint8_t>& records) {
  std::vector<uint8_t> destroyed;
  VisitNetworkNamespaces([&] {
    const uint64_t here = CurrentNetworkNamespace().cookie;
    FileDescriptor diag;
    for (size_t at = 0; at + sizeof(lb_translated) <= records.size(); at += sizeof(lb_translated)) {
      lb_translated socket;
      std::memcpy(&socket, records.data() + at, sizeof(socket));
      if (socket.netns != here) continue;
      if (!diag) {
        diag = FileDescriptor(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
        if (!diag) throw SystemError(errno, "socket", "NETLINK_SOCK_DIAG");
      }
      const int error = Destroy(diag.get(), socket);
      if (error == ENOENT) continue;
      if (error != 0) throw SystemError(error, "netlink", "SOCK_DESTROY");
      destroyed.insert(destroyed.end(), records.begin() + at,
                       records.begin() + at + sizeof(lb_translated));
    }
  });
  return destroyed;
}

}  // namespace lb
