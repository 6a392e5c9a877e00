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
             FIELD(local_first), FIELD(local_count), FIELD(id), FIELD(group),
             FIELD(affinity_timeout), FIELD(ranges), FIELD(maglev), FIELD(maglev_size),
             FIELD(local_maglev), FIELD(local_maglev_size)),
      LAYOUT(lb_backend, FIELD(address), FIELD(port), FIELD(flags), FIELD(set), FIELD(threshold),
             FIELD(alias)),
      LAYOUT(lb_maglev_word, FIELD(backends)),
      LAYOUT(lb_range4, FIELD(prefix), FIELD(id), FIELD(address)),
      LAYOUT(lb_range6, FIELD(prefix), FIELD(id), FIELD(address)),
      LAYOUT(lb_ports, FIELD(hints)),
      LAYOUT(lb_networks, FIELD(hints)),
      LAYOUT(lb_address4, FIELD(address)),
      LAYOUT(lb_address6, FIELD(address)),
      LAYOUT(lb_address_info, FIELD(flags)),
      LAYOUT(lb_frontend_info, FIELD(flags)),
      LAYOUT(lb_device, FIELD(source6), FIELD(source4), FIELD(role), FIELD(flags)),
      LAYOUT(lb_settings, FIELD(host_netns), FIELD(flags), FIELD(snat_port_min),
             FIELD(snat_port_max), FIELD(flow_opening), FIELD(flow_established),
             FIELD(flow_half_closed), FIELD(flow_closing), FIELD(flow_datagram), FIELD(origin_mask),
             FIELD(rejects_per_second), FIELD(reject_burst), FIELD(snat_step),
             FIELD(flow_epoch_shift)),
      LAYOUT(lb_exception, FIELD(id), FIELD(kind)),
      LAYOUT(lb_affinity_key, FIELD(client), FIELD(group)),
      LAYOUT(lb_affinity, FIELD(address), FIELD(port), FIELD(pad), FIELD(index), FIELD(expires)),
      LAYOUT(lb_client, FIELD(address4), FIELD(address6), FIELD(expires)),
      LAYOUT(lb_load_key, FIELD(address), FIELD(port), FIELD(protocol), FIELD(pad)),
      LAYOUT(lb_calendar, FIELD(period), FIELD(count)),
      LAYOUT(lb_load, FIELD(sockets), FIELD(streams), FIELD(datagrams)),
      LAYOUT(lb_origin, FIELD(frontend), FIELD(backend), FIELD(frontend_port), FIELD(backend_port),
             FIELD(service), FIELD(counted)),
      LAYOUT(lb_state, FIELD(version), FIELD(set), FIELD(id), FIELD(group), FIELD(ranges)),
      LAYOUT(lb_definition_key, FIELD(group), FIELD(part)),
      LAYOUT(lb_definition, FIELD(text)),
      LAYOUT(lb_origin_slot, FIELD(cookie), FIELD(origin)),
      LAYOUT(lb_origin_list, FIELD(next), FIELD(pad), FIELD(origins)),
      LAYOUT(lb_translated, FIELD(cookie), FIELD(netns), FIELD(origin), FIELD(source),
             FIELD(source_port), FIELD(family), FIELD(protocol), FIELD(ifindex), FIELD(state),
             FIELD(pad)),
      LAYOUT(lb_tuple4, FIELD(saddr), FIELD(daddr), FIELD(sport), FIELD(dport), FIELD(protocol),
             FIELD(pad)),
      LAYOUT(lb_tuple6, FIELD(saddr), FIELD(daddr), FIELD(sport), FIELD(dport), FIELD(protocol),
             FIELD(pad)),
      LAYOUT(lb_flow, FIELD(address_delta), FIELD(port_delta), FIELD(expires), FIELD(service),
             FIELD(state), FIELD(flags), FIELD(fin), FIELD(peer_fin), FIELD(replied), FIELD(epoch),
             FIELD(pad), FIELD(period)),
      LAYOUT(lb_flow4, FIELD(to), FIELD(flow)),
      LAYOUT(lb_flow6, FIELD(to), FIELD(flow)),
      LAYOUT(lb_fragment_key, FIELD(saddr), FIELD(daddr), FIELD(id), FIELD(protocol), FIELD(pad)),
      LAYOUT(lb_fragment, FIELD(sport), FIELD(dport), FIELD(expires)),
      LAYOUT(lb_decision, FIELD(frontend), FIELD(backend), FIELD(frontend_port),
             FIELD(backend_port), FIELD(protocol), FIELD(side), FIELD(fate), FIELD(result)),
      LAYOUT(lb_decision_event, FIELD(kind), FIELD(decision), FIELD(client), FIELD(client_port),
             FIELD(pad)),
      LAYOUT(lb_event, FIELD(kind), FIELD(protocol), FIELD(pad), FIELD(client), FIELD(source),
             FIELD(backend), FIELD(client_port), FIELD(backend_port)),
      LAYOUT(lb_counters, FIELD(counts)),
  };
}

}  // namespace lb
