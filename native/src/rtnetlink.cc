// SPDX-License-Identifier: Apache-2.0
#include "rtnetlink.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>

#include "errors.h"

namespace lb {
namespace {

// A dump that a change interrupts is begun again.
constexpr int kAttempts = 10;
constexpr size_t kReceiveBuffer = 32 * 1024;  // the largest piece in which the kernel sends a dump

// More than any of the messages read here has; IFLA_* are the most.
constexpr size_t kTypes = IFLA_MAX + 1;
static_assert(IFLA_MAX >= IFA_MAX && IFLA_MAX >= RTA_MAX && IFLA_MAX >= IFLA_INFO_MAX);

using Socket = std::unique_ptr<mnl_socket, int (*)(mnl_socket*)>;
using MessageHandler = std::function<void(const nlmsghdr*)>;

// The attributes of one message by type. A repeated one replaces the earlier.
class Attributes {
 public:
  void Add(const nlattr* attribute) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type < kTypes) attributes_[type] = attribute;
  }
  uint32_t Number(int type, uint32_t missing = 0) const {
    const nlattr* attribute = attributes_[type];
    if (attribute == nullptr || mnl_attr_validate(attribute, MNL_TYPE_U32) < 0) return missing;
    return mnl_attr_get_u32(attribute);
  }
  std::string Text(int type) const {
    const nlattr* attribute = attributes_[type];
    if (attribute == nullptr) return "";
    const char* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
    return std::string(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
  }
  // Empty unless it has the length of an address of that family.
  std::vector<uint8_t> Address(int type, int family) const {
    const nlattr* attribute = attributes_[type];
    const size_t length = AddressLength(family);
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != length) return {};
    const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(attribute));
    return std::vector<uint8_t>(bytes, bytes + length);
  }
  const nlattr* operator[](int type) const { return attributes_[type]; }

  static size_t AddressLength(int family) { return family == AF_INET6 ? 16 : 4; }

 private:
  std::array<const nlattr*, kTypes> attributes_{};
};

Attributes AttributesIn(const void* bytes, size_t length) {
  Attributes attributes;
  const auto* end = static_cast<const char*>(bytes) + length;
  const auto* attribute = static_cast<const nlattr*>(bytes);
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    attributes.Add(attribute);
    attribute = mnl_attr_next(attribute);
  }
  return attributes;
}

Attributes AttributesOf(const nlmsghdr* message, size_t header_length) {
  const auto* first =
      static_cast<const char*>(mnl_nlmsg_get_payload_offset(message, header_length));
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  return AttributesIn(first, first < end ? static_cast<size_t>(end - first) : 0);
}

Attributes AttributesOf(const nlattr* nest) {
  if (nest == nullptr) return {};
  return AttributesIn(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest));
}

// The payload of a message, or null if it is shorter than T.
template <typename T>
const T* HeaderOf(const nlmsghdr* message) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(T)) return nullptr;
  return static_cast<const T*>(mnl_nlmsg_get_payload(message));
}

int HandleMessage(const nlmsghdr* message, void* handler) {
  (*static_cast<const MessageHandler*>(handler))(message);
  return MNL_CB_OK;
}

// One dump; an errno, or 0.
int TryDump(uint16_t type, uint8_t family, const MessageHandler& handle) {
  Socket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC), mnl_socket_close);
  if (!socket) return errno;
  std::vector<char> buffer(kReceiveBuffer);
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = type;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = 1;
  // Long enough for the header of each kind of request; all of them begin with the family.
  *static_cast<uint8_t*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg))) = family;
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) return errno;
  if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) return errno;
  const unsigned int port = mnl_socket_get_portid(socket.get());
  for (;;) {
    const ssize_t length = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (length < 0) return errno;
    const int rc = mnl_cb_run(buffer.data(), static_cast<size_t>(length), 1, port, HandleMessage,
                              const_cast<MessageHandler*>(&handle));
    if (rc < 0) return errno;
    if (rc == MNL_CB_STOP) return 0;
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
  const auto attributes = AttributesOf(message, sizeof(ifinfomsg));
  const auto info = AttributesOf(attributes[IFLA_LINKINFO]);
  links.push_back({static_cast<uint32_t>(header->ifi_index), attributes.Text(IFLA_IFNAME),
                   header->ifi_flags, info.Text(IFLA_INFO_KIND), attributes.Number(IFLA_MASTER),
                   attributes.Number(IFLA_MTU), header->ifi_type});
}

void ParseAddress(const nlmsghdr* message, std::vector<NetworkAddress>& addresses) {
  const auto* header = HeaderOf<ifaddrmsg>(message);
  if (header == nullptr || message->nlmsg_type != RTM_NEWADDR) return;
  if (header->ifa_family != AF_INET && header->ifa_family != AF_INET6) return;
  const auto attributes = AttributesOf(message, sizeof(ifaddrmsg));
  // With a peer, IFA_ADDRESS is the peer's and IFA_LOCAL ours.
  std::vector<uint8_t> address = attributes.Address(IFA_LOCAL, header->ifa_family);
  if (address.empty()) address = attributes.Address(IFA_ADDRESS, header->ifa_family);
  if (address.empty()) return;
  addresses.push_back({header->ifa_index, address, header->ifa_prefixlen, header->ifa_scope,
                       attributes.Number(IFA_FLAGS, header->ifa_flags)});
}

// RTA_VIA: a gateway of the other address family.
bool HasGateway(const Attributes& attributes) {
  return attributes[RTA_GATEWAY] != nullptr || attributes[RTA_VIA] != nullptr;
}

void ParseRoute(const nlmsghdr* message, std::vector<NetworkRoute>& routes) {
  const auto* header = HeaderOf<rtmsg>(message);
  if (header == nullptr || message->nlmsg_type != RTM_NEWROUTE) return;
  if (header->rtm_family != AF_INET && header->rtm_family != AF_INET6) return;
  if (header->rtm_type != RTN_UNICAST || (header->rtm_flags & RTM_F_CLONED)) return;
  const auto attributes = AttributesOf(message, sizeof(rtmsg));
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
  const nlattr* hops = attributes[RTA_MULTIPATH];
  if (hops == nullptr) {
    routes.push_back(route);
    return;
  }
  const auto* next = static_cast<const uint8_t*>(mnl_attr_get_payload(hops));
  size_t left = mnl_attr_get_payload_len(hops);
  while (left >= sizeof(rtnexthop)) {
    const auto* hop = reinterpret_cast<const rtnexthop*>(next);
    if (hop->rtnh_len < sizeof(rtnexthop) || hop->rtnh_len > left) break;
    route.ifindex = static_cast<uint32_t>(hop->rtnh_ifindex);
    route.gateway = HasGateway(AttributesIn(hop + 1, hop->rtnh_len - sizeof(rtnexthop)));
    routes.push_back(route);
    const size_t step = RTNH_ALIGN(hop->rtnh_len);
    if (step >= left) break;
    next += step;
    left -= step;
  }
}

}  // namespace

Network ReadNetwork() {
  Network network;
  network.links = Dump(RTM_GETLINK, AF_UNSPEC, "RTM_GETLINK", ParseLink);
  network.addresses = Dump(RTM_GETADDR, AF_UNSPEC, "RTM_GETADDR", ParseAddress);
  network.routes = Dump(RTM_GETROUTE, AF_INET, "RTM_GETROUTE", ParseRoute);
  const std::vector<NetworkRoute> routes6 =
      Dump(RTM_GETROUTE, AF_INET6, "RTM_GETROUTE", ParseRoute);
  network.routes.insert(network.routes.end(), routes6.begin(), routes6.end());
  return network;
}

}  // namespace lb
