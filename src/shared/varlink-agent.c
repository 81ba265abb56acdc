/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink-agent.h"

#define COMMENT SD_VARLINK_FIELD_COMMENT
#define FIELD(name, type) SD_VARLINK_DEFINE_FIELD(name, SD_VARLINK_##type, 0)
#define OPTIONAL(name, type) SD_VARLINK_DEFINE_FIELD(name, SD_VARLINK_##type, SD_VARLINK_NULLABLE)
#define TYPED(name, type) SD_VARLINK_DEFINE_FIELD_BY_TYPE(name, type, 0)
#define OPTIONAL_TYPED(name, type) SD_VARLINK_DEFINE_FIELD_BY_TYPE(name, type, SD_VARLINK_NULLABLE)
#define VALUE SD_VARLINK_DEFINE_ENUM_VALUE

/* One field each line, its comment above. */
/* clang-format off */

static SD_VARLINK_DEFINE_ENUM_TYPE(BrokerState,
        COMMENT("icewire-broker does not answer; it is tried again"),
        VALUE(lost),
        COMMENT("It has not told of every WireGuard link yet"),
        VALUE(connecting),
        COMMENT("It has"),
        VALUE(ready));

static SD_VARLINK_DEFINE_ENUM_TYPE(RendezvousState,
        VALUE(connecting),
        COMMENT("What is published is delivered to whoever listens"),
        VALUE(up),
        COMMENT("See the error; it is tried again"),
        VALUE(down));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Rendezvous,
        COMMENT("Where it is, as in the configuration: \"mqtts://broker.example:8883\", \"multicast\""),
        FIELD(name, STRING),
        TYPED(state, RendezvousState),
        COMMENT("Why it is down, for people"),
        OPTIONAL(error, STRING),
        COMMENT("Envelopes published by it"),
        FIELD(sent, INT),
        COMMENT("Envelopes that arrived by it, repeated and foreign ones included"),
        FIELD(received, INT));

static SD_VARLINK_DEFINE_ENUM_TYPE(LinkKind,
        COMMENT("The kernel's WireGuard"),
        VALUE(kernel),
        COMMENT("A process with a UAPI socket"),
        VALUE(userspace));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Link,
        COMMENT("The interface's name"),
        FIELD(name, STRING),
        TYPED(kind, LinkKind),
        COMMENT("0 if there is no interface of that name here"),
        FIELD(ifindex, INT),
        COMMENT("Absent if the link has no private key"),
        OPTIONAL(publicKey, STRING),
        COMMENT("WireGuard's UDP port; 0 if it is not bound"),
        FIELD(listenPort, INT),
        COMMENT("How many peers it has"),
        FIELD(peers, INT),
        COMMENT("How many of them are connected"),
        FIELD(connected, INT));

static SD_VARLINK_DEFINE_ENUM_TYPE(CandidateType,
        COMMENT("An address of the host itself"),
        VALUE(host),
        COMMENT("How a STUN server sees it"),
        VALUE(srflx),
        COMMENT("How the peer sees it"),
        VALUE(prflx),
        COMMENT("An address on a TURN server"),
        VALUE(relay));

static SD_VARLINK_DEFINE_ENUM_TYPE(Transport,
        VALUE(udp),
        VALUE(tcp_active),
        VALUE(tcp_passive),
        VALUE(tcp_so));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Candidate,
        TYPED(type, CandidateType),
        TYPED(transport, Transport),
        COMMENT("\"192.0.2.1:51820\", \"[2001:db8::1]:51820\""),
        FIELD(address, STRING));

static SD_VARLINK_DEFINE_ENUM_TYPE(PeerState,
        COMMENT("We say hello; the peer has not answered"),
        VALUE(waiting),
        COMMENT("It has: ICE is looking for a path"),
        VALUE(negotiating),
        COMMENT("A path was found; WireGuard's handshake is to come"),
        VALUE(connecting),
        COMMENT("WireGuard's handshake came through"),
        VALUE(connected),
        COMMENT("See the reason; tried again by and by"),
        VALUE(failed));

static SD_VARLINK_DEFINE_ENUM_TYPE(PathKind,
        VALUE(none),
        COMMENT("WireGuard and the network, nothing between"),
        VALUE(direct),
        COMMENT("A direct pair, but every packet passes through icewired"),
        VALUE(proxied),
        COMMENT("Over a TURN server"),
        VALUE(relayed));

static SD_VARLINK_DEFINE_ENUM_TYPE(PeerReason,
        COMMENT("It has a direct path"),
        VALUE(none),
        COMMENT("icewire-broker is not there"),
        VALUE(broker_lost),
        COMMENT("The link has no private key"),
        VALUE(no_private_key),
        COMMENT("The link is down, or not bound to a port"),
        VALUE(no_listen_port),
        COMMENT("No rendezvous is up"),
        VALUE(rendezvous_down),
        COMMENT("Nothing came from the peer: it is off, or one side has the other's public key wrong"),
        VALUE(peer_silent),
        COMMENT("What came does not open: the preshared keys differ, or it is forged"),
        VALUE(envelope_refused),
        COMMENT("Wait a moment"),
        VALUE(negotiating),
        COMMENT("This host has no usable address"),
        VALUE(no_address),
        COMMENT("No candidate pair works"),
        VALUE(no_path),
        COMMENT("The path is good, but WireGuard's handshake is not answered over it"),
        VALUE(no_handshake),
        COMMENT("The pair is direct, but only the proxy can carry it here"),
        VALUE(no_redirect),
        COMMENT("Only a relay connects the two"),
        VALUE(no_direct_pair));

static SD_VARLINK_DEFINE_STRUCT_TYPE(PeerCounters,
        COMMENT("Negotiations that were begun"),
        FIELD(sessions, INT),
        COMMENT("Paths that they found"),
        FIELD(paths, INT),
        COMMENT("Envelopes published to it, each counted once however many rendezvous there are"),
        FIELD(envelopesSent, INT),
        COMMENT("Envelopes on its topic, repeated and foreign ones included"),
        FIELD(envelopesReceived, INT),
        COMMENT("Of those: dropped unopened, over the rate limit"),
        FIELD(envelopesFlooded, INT),
        COMMENT("… damaged, forged, or sealed with another preshared key"),
        FIELD(envelopesRefused, INT),
        COMMENT("… from the peer, but not understood"),
        FIELD(messagesMalformed, INT),
        COMMENT("… acted on"),
        FIELD(messagesAccepted, INT),
        COMMENT("… acted on, the first from a peer that has started anew"),
        FIELD(messagesAcceptedAnew, INT),
        COMMENT("… answered with a greeting, since they may be replays or from a peer that has just started"),
        FIELD(messagesAnswered, INT),
        COMMENT("… seen before: by another rendezvous, or a replay"),
        FIELD(messagesDuplicate, INT),
        COMMENT("… for or from an earlier self of one of the two"),
        FIELD(messagesStale, INT),
        COMMENT("… dropped, over the rate limit"),
        FIELD(messagesFlooded, INT),
        COMMENT("… what only the other side may say"),
        FIELD(messagesWrongRole, INT));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Peer,
        COMMENT("The link that it belongs to"),
        FIELD(link, STRING),
        COMMENT("Base64, as wg(8) prints it"),
        FIELD(publicKey, STRING),
        TYPED(state, PeerState),
        COMMENT("What carries its traffic now"),
        TYPED(path, PathKind),
        COMMENT("Why the path is not a direct one"),
        TYPED(reason, PeerReason),
        COMMENT("The reason in words: what it means and what to do"),
        OPTIONAL(reasonText, STRING),
        COMMENT("The evidence for the reason, for people"),
        OPTIONAL(reasonDetail, STRING),
        COMMENT("Our end of the path"),
        OPTIONAL_TYPED(local, Candidate),
        COMMENT("The peer's end of the path"),
        OPTIONAL_TYPED(remote, Candidate),
        COMMENT("What WireGuard has as the peer's endpoint"),
        OPTIONAL(endpoint, STRING),
        SD_VARLINK_DEFINE_FIELD(allowedIPs, SD_VARLINK_STRING, SD_VARLINK_ARRAY),
        COMMENT("Since when there is this path; microseconds since 1970"),
        OPTIONAL(pathSinceUSec, INT),
        COMMENT("Of the last connectivity check on the path"),
        OPTIONAL(roundTripTimeUSec, INT),
        COMMENT("WireGuard's last handshake with the peer; microseconds since 1970"),
        OPTIONAL(lastHandshakeUSec, INT),
        COMMENT("What WireGuard received from the peer"),
        FIELD(rxBytes, INT),
        COMMENT("What WireGuard sent to the peer"),
        FIELD(txBytes, INT),
        COMMENT("What was said between the two; a change of these alone is no event"),
        TYPED(counters, PeerCounters));

static SD_VARLINK_DEFINE_ENUM_TYPE(WatchEvent,
        COMMENT("The link is there, or is different now"),
        VALUE(link_changed),
        COMMENT("The link is gone; its last state"),
        VALUE(link_removed),
        COMMENT("The peer is there, or is different now"),
        VALUE(peer_changed),
        COMMENT("The peer is gone; its last state"),
        VALUE(peer_removed),
        COMMENT("The rendezvous is there, or is different now"),
        VALUE(rendezvous_changed),
        COMMENT("The rendezvous is no longer configured; its last state"),
        VALUE(rendezvous_removed),
        COMMENT("Everything that exists was told; what follows is news"),
        VALUE(ready));

static SD_VARLINK_DEFINE_ENUM_TYPE(RedirectKind,
        COMMENT("WireGuard's ports are not shared: every path goes through icewired"),
        VALUE(proxy),
        COMMENT("Shared by an nftables table of icewire-broker"),
        VALUE(nftables),
        COMMENT("Shared by eBPF programs at the uplinks"),
        VALUE(ebpf));

static SD_VARLINK_DEFINE_METHOD(Describe,
        SD_VARLINK_DEFINE_OUTPUT(version, SD_VARLINK_STRING, 0),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(broker, BrokerState, 0),
        COMMENT("How ICE shares WireGuard's ports; absent while icewire-broker has not said so"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(redirect, RedirectKind, SD_VARLINK_NULLABLE),
        COMMENT("Why it is nothing better"),
        SD_VARLINK_DEFINE_OUTPUT(redirectReason, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(rendezvous, Rendezvous, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_ENUM_TYPE(MappingKind,
        COMMENT("No server answered"),
        VALUE(unknown),
        COMMENT("No NAT: servers see the address and port that we have"),
        VALUE(none),
        COMMENT("There is a NAT, by the word of one server only: two at different addresses would tell its kind"),
        VALUE(single),
        COMMENT("A NAT that shows the same address and port to everybody (RFC 4787: endpoint-independent)"),
        VALUE(endpoint_independent),
        COMMENT("A NAT that shows different ones to different servers: hard to get through"),
        VALUE(varies));

static SD_VARLINK_DEFINE_ENUM_TYPE(Hairpin,
        COMMENT("Not tested: there is no NAT, or nothing answered"),
        VALUE(unknown),
        COMMENT("No answer yet"),
        VALUE(testing),
        COMMENT("The NAT brings back what we send to our own mapped address"),
        VALUE(yes),
        COMMENT("It does not: two hosts behind it cannot meet by mapped addresses"),
        VALUE(no));

static SD_VARLINK_DEFINE_STRUCT_TYPE(StunServer,
        COMMENT("Whom we asked: \"192.0.2.1:3478\", \"[2001:db8::1]:3478\""),
        FIELD(address, STRING),
        COMMENT("How it sees us; absent if it did not answer"),
        OPTIONAL(mapped, STRING),
        COMMENT("Of that answer"),
        OPTIONAL(roundTripTimeUSec, INT),
        COMMENT("Why there is no answer, for people"),
        OPTIONAL(error, STRING));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Mapping,
        COMMENT("The link whose port this is about; absent: a port of icewired's own, since WireGuard's are not shared"),
        OPTIONAL(link, STRING),
        COMMENT("Our address, with that port"),
        FIELD(local, STRING),
        COMMENT("How most servers see it; absent if none answered"),
        OPTIONAL(mapped, STRING),
        TYPED(kind, MappingKind),
        COMMENT("Whether mapped has the port of local; absent if there is no mapped"),
        OPTIONAL(portKept, BOOL),
        TYPED(hairpin, Hairpin),
        COMMENT("Why nobody could be asked, for people"),
        OPTIONAL(error, STRING),
        SD_VARLINK_DEFINE_FIELD_BY_TYPE(servers, StunServer, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_ENUM_TYPE(ServerKind,
        VALUE(stun),
        VALUE(turn_udp),
        VALUE(turn_tcp));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Server,
        TYPED(kind, ServerKind),
        COMMENT("As configured, with the port"),
        FIELD(name, STRING),
        COMMENT("What its name stands for"),
        SD_VARLINK_DEFINE_FIELD(addresses, SD_VARLINK_STRING, SD_VARLINK_ARRAY),
        COMMENT("Why the name could not be resolved, for people"),
        OPTIONAL(error, STRING));

static SD_VARLINK_DEFINE_METHOD(Diagnose,
        SD_VARLINK_DEFINE_OUTPUT(version, SD_VARLINK_STRING, 0),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(broker, BrokerState, 0),
        COMMENT("As in Describe"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(redirect, RedirectKind, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_OUTPUT(redirectReason, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(rendezvous, Rendezvous, SD_VARLINK_ARRAY),
        COMMENT("Whether this host has a global IPv6 address on an uplink"),
        SD_VARLINK_DEFINE_OUTPUT(ipv6Address, SD_VARLINK_BOOL, 0),
        COMMENT("Whether a server answered over IPv6"),
        SD_VARLINK_DEFINE_OUTPUT(ipv6Answered, SD_VARLINK_BOOL, 0),
        COMMENT("The STUN and TURN servers that are configured"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(servers, Server, SD_VARLINK_ARRAY),
        COMMENT("One for each link and each of our addresses"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(mappings, Mapping, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_METHOD(ListLinks,
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(links, Link, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_METHOD(ListPeers,
        COMMENT("Only this link's"),
        SD_VARLINK_DEFINE_INPUT(link, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        COMMENT("Only those with this public key"),
        SD_VARLINK_DEFINE_INPUT(peer, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(peers, Peer, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_METHOD_FULL(Watch, SD_VARLINK_REQUIRES_MORE,
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(event, WatchEvent, 0),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(link, Link, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(peer, Peer, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(rendezvous, Rendezvous, SD_VARLINK_NULLABLE));

#define INTERACTIVE                                                                                         \
        COMMENT("Whether the caller can wait for a person to authenticate"),                                \
                SD_VARLINK_DEFINE_INPUT(allowInteractiveAuthentication, SD_VARLINK_BOOL,                    \
                                        SD_VARLINK_NULLABLE)

static SD_VARLINK_DEFINE_METHOD(Reconnect,
        COMMENT("Only this link's peers"),
        SD_VARLINK_DEFINE_INPUT(link, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        COMMENT("Only those with this public key"),
        SD_VARLINK_DEFINE_INPUT(peer, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        INTERACTIVE);

static SD_VARLINK_DEFINE_METHOD(Reload,
        INTERACTIVE,
        COMMENT("How many settings made no sense and were skipped; the journal names each with file and line"),
        SD_VARLINK_DEFINE_OUTPUT(problems, SD_VARLINK_INT, 0));

static SD_VARLINK_DEFINE_ERROR(NoSuchLink, SD_VARLINK_DEFINE_FIELD(link, SD_VARLINK_STRING, 0));
static SD_VARLINK_DEFINE_ERROR(NoSuchPeer, SD_VARLINK_DEFINE_FIELD(peer, SD_VARLINK_STRING, 0));
static SD_VARLINK_DEFINE_ERROR(ConfigurationInvalid, SD_VARLINK_DEFINE_FIELD(message, SD_VARLINK_STRING, 0));

SD_VARLINK_DEFINE_INTERFACE(org_icewire_Agent, "org.icewire.Agent",
        SD_VARLINK_INTERFACE_COMMENT("icewired connects WireGuard peers through NATs: its links, their peers, and how they are connected"),
        SD_VARLINK_SYMBOL_COMMENT("The state of the connection to icewire-broker, which holds the keys"),
        &vl_type_BrokerState,
        &vl_type_RendezvousState,
        SD_VARLINK_SYMBOL_COMMENT("A channel that carries sealed messages to peers that have no path yet"),
        &vl_type_Rendezvous,
        &vl_type_LinkKind,
        SD_VARLINK_SYMBOL_COMMENT("A WireGuard interface"),
        &vl_type_Link,
        &vl_type_CandidateType,
        &vl_type_Transport,
        SD_VARLINK_SYMBOL_COMMENT("One end of a path (RFC 8445)"),
        &vl_type_Candidate,
        &vl_type_PeerState,
        &vl_type_PathKind,
        SD_VARLINK_SYMBOL_COMMENT("Why a peer has not a direct path"),
        &vl_type_PeerReason,
        SD_VARLINK_SYMBOL_COMMENT("How often, since icewired knows the peer"),
        &vl_type_PeerCounters,
        SD_VARLINK_SYMBOL_COMMENT("A WireGuard peer"),
        &vl_type_Peer,
        &vl_type_WatchEvent,
        SD_VARLINK_SYMBOL_COMMENT("How ICE gets to share WireGuard's port"),
        &vl_type_RedirectKind,
        SD_VARLINK_SYMBOL_COMMENT("The daemon itself"),
        &vl_method_Describe,
        &vl_type_MappingKind,
        &vl_type_Hairpin,
        SD_VARLINK_SYMBOL_COMMENT("A STUN server's answer, or a TURN server's to the same question"),
        &vl_type_StunServer,
        SD_VARLINK_SYMBOL_COMMENT("How a port of ours looks from outside"),
        &vl_type_Mapping,
        &vl_type_ServerKind,
        &vl_type_Server,
        SD_VARLINK_SYMBOL_COMMENT("What the network is like: asks all servers anew, which takes some seconds, and then answers"),
        &vl_method_Diagnose,
        &vl_method_ListLinks,
        SD_VARLINK_SYMBOL_COMMENT("Peers, with handshake times and counters that are read for this call"),
        &vl_method_ListPeers,
        SD_VARLINK_SYMBOL_COMMENT("First everything that exists, then \"ready\", then what changes; who does not keep up is disconnected"),
        &vl_method_Watch,
        SD_VARLINK_SYMBOL_COMMENT("Looks for a path anew, from the start; the one in use stays until there is another. Root only"),
        &vl_method_Reconnect,
        SD_VARLINK_SYMBOL_COMMENT("Reads the configuration again; the answer comes when it is in force. Root only"),
        &vl_method_Reload,
        SD_VARLINK_SYMBOL_COMMENT("There is no such WireGuard link, or it is not ours to look after"),
        &vl_error_NoSuchLink,
        SD_VARLINK_SYMBOL_COMMENT("No link, or not this one, has such a peer"),
        &vl_error_NoSuchPeer,
        SD_VARLINK_SYMBOL_COMMENT("The configuration could not be read; the one before stays in force"),
        &vl_error_ConfigurationInvalid);
