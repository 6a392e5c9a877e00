// SPDX-License-Identifier: Apache-2.0
#include "rtnetlink.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

#include "errors.h"
#include "file_descriptor.h"
#include "libbpf_log.h"

// The parser that libbpf has for its own needs, linked statically with it: it checks every length.
// Declared here because its header is not C++.
struct libbpf_nla_policy;
extern "C" int libbpf_nla_parse(nlattr* attributes[], int max_type, nlattr* first, int length,
                                libbpf_nla_policy* policy);

namespace lb {
namespace {

// A dump that a change interrupts is begun again.
constexpr int kAttempts = 10;
constexpr size_t kReceiveBuffer = 32 * 1024;  // the largest piece in which the kernel sends a dump
constexpr uint32_t kSequence = 1;

// More than any of the messages read here has; IFLA_* are the most.
constexpr int kMaxType = IFLA_MAX;
static_assert(IFLA_MAX >= IFA_MAX && IFLA_MAX >= RTA_MAX && IFLA_MAX >= IFLA_INFO_MAX);

using MessageHandler = std::function<void(const nlmsghdr*)>;

// The attributes of one message by type. A repeated one replaces the earlier.
class Attributes {
 public:
  Attributes() = default;
  Attributes(const void* bytes, size_t length) {
    auto* first = static_cast<nlattr*>(const_cast<void*>(bytes));
    if (libbpf_nla_parse(attributes_.data(), kMaxType, first, static_cast<int>(length), nullptr)) {
      attributes_.fill(nullptr);
    }
  }
  uint32_t Number(int type, uint32_t missing = 0) const {
    uint32_t number;
    if (Length(type) != sizeof(number)) return missing;
    std::memcpy(&number, Data(type), sizeof(number));
    return number;
  }
  std::string Text(int type) const {
    const char* text = static_cast<const char*>(Data(type));
    return text == nullptr ? "" : std::string(text, strnlen(text, Length(type)));
  }
  // Empty unless it has the length of an address of that family.
  std::vector<uint8_t> Address(int type, int family) const {
    if (Length(type) != AddressLength(family)) return {};
    const auto* bytes = static_cast<const uint8_t*>(Data(type));
    return std::vector<uint8_t>(bytes, bytes + Length(type));
  }
  Attributes Nested(int type) const {
    return Has(type) ? Attributes(Data(type), Length(type)) : Attributes();
  }
  bool Has(int type) const { return attributes_[type] != nullptr; }
  const void* Data(int type) const {
    return Has(type) ? reinterpret_cast<const char*>(attributes_[type]) + NLA_HDRLEN : nullptr;
  }
  size_t Length(int type) const {
    return Has(type) ? static_cast<size_t>(attributes_[type]->nla_len) - NLA_HDRLEN : 0;
  }

  static size_t AddressLength(int family) { return family == AF_INET6 ? 16 : 4; }

 private:
  std::array<nlattr*, kMaxType + 1> attributes_{};
};

// What follows a message's fixed header of type T.
template <typename T>
Attributes AttributesAfter(const nlmsghdr* message) {
  const size_t offset = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(T)));
  if (message->nlmsg_len <= offset) return {};
  return Attributes(reinterpret_cast<const char*>(message) + offset, message->nlmsg_len - offset);
}

// The fixed header of a message, or null if it is shorter than T.
template <typename T>
const T* HeaderOf(const nlmsghdr* message) {
  if (message->nlmsg_len < NLMSG_LENGTH(sizeof(T))) return nullptr;
  return static_cast<const T*>(NLMSG_DATA(message));
}

// Hands out the messages of one piece of a dump. Returns 0 when more pieces follow, ENODATA at the
// end of the dump, or the errno that the kernel reported.
int HandlePiece(const char* buffer, size_t length, const MessageHandler& handle) {
  // Signed: the padding of the last message may lie outside.
  auto left = static_cast<ssize_t>(length);
  for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer); NLMSG_OK(message, left);
       message = NLMSG_NEXT(message, left)) {
    if (message->nlmsg_seq != kSequence) continue;
    if (message->nlmsg_flags & NLM_F_DUMP_INTR) return EINTR;
    if (message->nlmsg_type == NLMSG_DONE) return ENODATA;
    if (message->nlmsg_type == NLMSG_ERROR) {
      const auto* error = HeaderOf<nlmsgerr>(message);
      return error == nullptr ? EBADMSG : -error->error;
    }
    handle(message);
  }
  return 0;
}

// One dump; an errno, or 0.
int TryDump(uint16_t type, uint8_t family, const MessageHandler& handle) {
  FileDescriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return errno;
  struct {
    nlmsghdr header;
    ifinfomsg body;  // as long as the body of each kind of request; all begin with the family
  } request{};
  request.header = {sizeof(request), type, NLM_F_REQUEST | NLM_F_DUMP, kSequence, 0};
  request.body.ifi_family = family;
  if (send(socket.get(), &request, sizeof(request), 0) < 0) return errno;
  std::vector<char> buffer(kReceiveBuffer);
  for (;;) {
    const ssize_t length = recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (length < 0) return errno;
    const int rc = HandlePiece(buffer.data(), static_cast<size_t>(length), handle);
    if (rc != 0) return rc == ENODATA ? 0 : rc;
  }
}

template <typename Item>
std::vector<Item> Dump(uint16_t type, uint8_t family, const char* what,
                       void (*parse)(const nlmsghdr*, std::vector<Item>&)) {
  for (int attempt = 1;; ++attempt) {
    std::vector<Item> items;
    const int error =
        TryDump(type, family, [&](const nlmsghdr* message) { parse(message, items); });
    if (error == 0) return items;
    if (error != EINTR || attempt == kAttempts) throw SystemError(error, "rtnetlink", what);
  }
}

void ParseLink(const nlmsghdr* message, std::vector<NetworkLink>& links) {
  const auto* header = HeaderOf<ifinfomsg>(message);
  if (header == nullptr || message->nlmsg_type != RTM_NEWLINK) return;
  const auto attributes = AttributesAfter<ifinfomsg>(message);
  const auto info = attributes.Nested(IFLA_LINKINFO);
  links.push_back({static_cast<uint32_t>(header->ifi_index), attributes.Text(IFLA_IFNAME),
                   header->ifi_flags, info.Text(IFLA_INFO_KIND), attributes.Number(IFLA_MASTER),
                   attributes.Number(IFLA_MTU), header->ifi_type,
                   attributes.Has(IFLA_LINK_NETNSID)});
}

void ParseAddress(const nlmsghdr* message, std::vector<NetworkAddress>& addresses) {
  const auto* header = HeaderOf<ifaddrmsg>(message);
  if (header == nullptr || message->nlmsg_type != RTM_NEWADDR) return;
  if (header->ifa_family != AF_INET && header->ifa_family != AF_INET6) return;
  const auto attributes = AttributesAfter<ifaddrmsg>(message);
  // With a peer, IFA_ADDRESS is the peer's and IFA_LOCAL ours.
  std::vector<uint8_t> address = attributes.Address(IFA_LOCAL, header->ifa_family);
  if (address.empty()) address = attributes.Address(IFA_ADDRESS, header->ifa_family);
  if (address.empty()) return;
  addresses.push_back({header->ifa_index, address, header->ifa_prefixlen, header->ifa_scope,
                       attributes.Number(IFA_FLAGS, header->ifa_flags)});
}

// RTA_VIA: a gateway of the other address family.
bool HasGateway(const Attributes& attributes) {
  return attributes.Has(RTA_GATEWAY) || attributes.Has(RTA_VIA);
}

void ParseRoute(const nlmsghdr* message, std::vector<NetworkRoute>& routes) {
  const auto* header = HeaderOf<rtmsg>(message);
  if (header == nullptr || message->nlmsg_type != RTM_NEWROUTE) return;
  if (header->rtm_family != AF_INET && header->rtm_family != AF_INET6) return;
  if (header->rtm_type != RTN_UNICAST || (header->rtm_flags & RTM_F_CLONED)) return;
  const auto attributes = AttributesAfter<rtmsg>(message);
  NetworkRoute route{};
  route.family = header->rtm_family == AF_INET6 ? 6 : 4;
  route.destination = attributes.Address(RTA_DST, header->rtm_family);
  if (route.destination.empty()) {
    route.destination.resize(attributes.AddressLength(header->rtm_family));
  }
  route.prefix_length = header->rtm_dst_len;
  route.metric = attributes.Number(RTA_PRIORITY);
  route.table = attributes.Number(RTA_TABLE, header->rtm_table);
  route.ifindex = attributes.Number(RTA_OIF);
  route.gateway = HasGateway(attributes);
  if (!attributes.Has(RTA_MULTIPATH)) {
    routes.push_back(route);
    return;
  }
  const auto* next = static_cast<const uint8_t*>(attributes.Data(RTA_MULTIPATH));
  size_t left = attributes.Length(RTA_MULTIPATH);
  while (left >= sizeof(rtnexthop)) {
    const auto* hop = reinterpret_cast<const rtnexthop*>(next);
    if (hop->rtnh_len < sizeof(rtnexthop) || hop->rtnh_len > left) break;
    route.ifindex = static_cast<uint32_t>(hop->rtnh_ifindex);
    route.gateway = HasGateway(Attributes(hop + 1, hop->rtnh_len - sizeof(rtnexthop)));
    routes.push_back(route);
    const size_t step = RTNH_ALIGN(hop->rtnh_len);
    if (step >= left) break;
    next += step;
    left -= step;
  }
}

}  // namespace

Network ReadNetwork() {
  const LibbpfLog log;  // its parser would write to stderr of attributes that are repeated
  Network network;
  network.links = Dump(RTM_GETLINK, AF_UNSPEC, "RTM_GETLINK", ParseLink);
  network.addresses = Dump(RTM_GETADDR, AF_UNSPEC, "RTM_GETADDR", ParseAddress);
  network.routes = Dump(RTM_GETROUTE, AF_INET, "RTM_GETROUTE", ParseRoute);
  const std::vector<NetworkRoute> routes6 =
      Dump(RTM_GETROUTE, AF_INET6, "RTM_GETROUTE", ParseRoute);
  network.routes.insert(network.routes.end(), routes6.begin(), routes6.end());
  return network;
}

Network ParseNetwork(const uint8_t* bytes, size_t size) {
  const LibbpfLog log;
  const std::vector<char> aligned(bytes, bytes + size);
  Network network;
  HandlePiece(aligned.data(), aligned.size(), [&](const nlmsghdr* message) {
    ParseLink(message, network.links);
    ParseAddress(message, network.addresses);
    ParseRoute(message, network.routes);
  });
  return network;
}

}  // namespace lb
