// SPDX-License-Identifier: Apache-2.0
#include "abi_layout.h"

#include "../../bpf/abi.h"

namespace lb {

#define LAYOUT(type, ...)                                    \
  [] {                                                       \
    using Type = type;                                       \
    return StructLayout{#type, sizeof(Type), {__VA_ARGS__}}; \
  }()
#define FIELD(name) \
  FieldLayout { #name, offsetof(Type, name), sizeof(Type::name) }

std::vector<StructLayout> AbiLayout() {
  return {
      LAYOUT(lb_key4, FIELD(address), FIELD(port), FIELD(protocol), FIELD(pad)),
      LAYOUT(lb_key6, FIELD(address), FIELD(port), FIELD(protocol), FIELD(pad)),
      LAYOUT(lb_service, FIELD(check), FIELD(set), FIELD(flags), FIELD(first), FIELD(count),
             FIELD(local_first), FIELD(local_count), FIELD(id), FIELD(pad)),
      LAYOUT(lb_backend, FIELD(address), FIELD(port), FIELD(weight), FIELD(set), FIELD(flags),
             FIELD(pad)),
      LAYOUT(lb_ports, FIELD(hints)),
      LAYOUT(lb_networks, FIELD(hints)),
      LAYOUT(lb_address4, FIELD(address)),
      LAYOUT(lb_address6, FIELD(address)),
      LAYOUT(lb_address_info, FIELD(flags)),
      LAYOUT(lb_device, FIELD(source6), FIELD(source4), FIELD(role)),
      LAYOUT(lb_settings, FIELD(host_netns), FIELD(snat_port_min), FIELD(snat_port_max),
             FIELD(flow_opening), FIELD(flow_established), FIELD(flow_closing),
             FIELD(flow_datagram), FIELD(origin_mask)),
      LAYOUT(lb_origin, FIELD(frontend), FIELD(backend), FIELD(frontend_port), FIELD(backend_port),
             FIELD(service)),
      LAYOUT(lb_origin_slot, FIELD(cookie), FIELD(origin)),
      LAYOUT(lb_origin_list, FIELD(next), FIELD(pad), FIELD(origins)),
      LAYOUT(lb_tuple4, FIELD(saddr), FIELD(daddr), FIELD(sport), FIELD(dport), FIELD(protocol),
             FIELD(pad)),
      LAYOUT(lb_tuple6, FIELD(saddr), FIELD(daddr), FIELD(sport), FIELD(dport), FIELD(protocol),
             FIELD(pad)),
      LAYOUT(lb_flow, FIELD(address_delta), FIELD(port_delta), FIELD(expires), FIELD(service),
             FIELD(state), FIELD(flags), FIELD(fin), FIELD(peer_fin)),
      LAYOUT(lb_flow4, FIELD(to), FIELD(flow)),
      LAYOUT(lb_flow6, FIELD(to), FIELD(flow)),
      LAYOUT(lb_counters, FIELD(counts)),
  };
}

}  // namespace lb
