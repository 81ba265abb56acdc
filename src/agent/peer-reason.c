/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer-reason.h"

static const char *const peer_reason_table[_PEER_REASON_MAX] = {
        [PEER_REASON_NONE] = "none",
        [PEER_REASON_POLICY_HERE] = "policy-here",
        [PEER_REASON_POLICY_THERE] = "policy-there",
        [PEER_REASON_BROKER_LOST] = "broker-lost",
        [PEER_REASON_NO_PRIVATE_KEY] = "no-private-key",
        [PEER_REASON_NO_LISTEN_PORT] = "no-listen-port",
        [PEER_REASON_NO_ADDRESS] = "no-address",
        [PEER_REASON_RENDEZVOUS_DOWN] = "rendezvous-down",
        [PEER_REASON_PEER_SILENT] = "peer-silent",
        [PEER_REASON_PEER_OFFLINE] = "peer-offline",
        [PEER_REASON_ENVELOPE_REFUSED] = "envelope-refused",
        [PEER_REASON_NEGOTIATING] = "negotiating",
        [PEER_REASON_RELAY_REFUSED] = "relay-refused",
        [PEER_REASON_RELAY_UNREACHABLE] = "relay-unreachable",
        [PEER_REASON_UDP_BLOCKED_HERE] = "udp-blocked-here",
        [PEER_REASON_UDP_BLOCKED_THERE] = "udp-blocked-there",
        [PEER_REASON_MAPPING_VARIES] = "mapping-varies",
        [PEER_REASON_NO_COMMON_FAMILY] = "no-common-family",
        [PEER_REASON_NO_PATH] = "no-path",
        [PEER_REASON_NO_DIRECT_PAIR] = "no-direct-pair",
        [PEER_REASON_ONLY_TCP] = "only-tcp",
        [PEER_REASON_PATH_DEAD] = "path-dead",
        [PEER_REASON_NO_HANDSHAKE] = "no-handshake",
        [PEER_REASON_NO_REDIRECT] = "no-redirect",
};
DEFINE_STRING_TABLE(peer_reason, PeerReason);

static const char *const explanations[_PEER_REASON_MAX] = {
        [PEER_REASON_NONE] = "The path is direct.",
        [PEER_REASON_POLICY_HERE] = "This host's policy for the peer wants it so: see Policy= in "
                                    "icewire.conf, or change it with "
                                    "icewirectl policy.",
        [PEER_REASON_POLICY_THERE] =
                "The peer's policy for this host wants it so: ask whoever looks after the peer.",
        [PEER_REASON_BROKER_LOST] = "icewire-broker does not answer: systemctl status icewire-broker",
        [PEER_REASON_NO_PRIVATE_KEY] =
                "The link has no private key, so nothing can be signed: wg set LINK private-key FILE",
        [PEER_REASON_NO_LISTEN_PORT] = "The link is not bound to a port: is it up?",
        [PEER_REASON_NO_ADDRESS] = "This host has no address that a peer could reach: is an uplink up?",
        [PEER_REASON_RENDEZVOUS_DOWN] =
                "No rendezvous is up, so the peer cannot be told where we are: check the network, the "
                "server, and MQTT= in icewire.conf.",
        [PEER_REASON_PEER_SILENT] =
                "Nothing came from the peer: it is offline, does not run icewire, uses another rendezvous, "
                "or one side has a wrong public key of the other.",
        [PEER_REASON_PEER_OFFLINE] =
                "The peer was there but no longer answers: it is switched off, or has lost its network or "
                "its rendezvous. It is connected as soon as it is back.",
        [PEER_REASON_ENVELOPE_REFUSED] = "What comes in the peer's name cannot be opened: the preshared "
                                         "keys differ, or it is forged.",
        [PEER_REASON_NEGOTIATING] = "A path is being looked for.",
        [PEER_REASON_RELAY_REFUSED] =
                "No pair of addresses works, and the TURN server refuses to relay: check TURNUser=, the "
                "password, the server's certificate and its limits.",
        [PEER_REASON_RELAY_UNREACHABLE] =
                "No pair of addresses works, and no TURN server answers: check TURNServers=, that they run, "
                "and whether a firewall lets us reach them (by TCP, if UDP is blocked).",
        [PEER_REASON_UDP_BLOCKED_HERE] =
                "No STUN server answers this host over UDP, while TCP works: a firewall on this side blocks "
                "UDP, or the servers are down. Open UDP for a direct path.",
        [PEER_REASON_UDP_BLOCKED_THERE] =
                "The peer gets no answer from any STUN server over UDP, while TCP works: a firewall on its "
                "side blocks UDP, or its servers are down. Open UDP there for a direct path.",
        [PEER_REASON_MAPPING_VARIES] =
                "Both hosts are behind NATs that use another port for each destination, so neither can tell "
                "the other where to send to: forward WireGuard's port on one side, or use a relay "
                "(TURNServers=).",
        [PEER_REASON_NO_COMMON_FAMILY] =
                "One host has only IPv4 and the other one only IPv6: give one of them both, or use a TURN "
                "server that has both.",
        [PEER_REASON_NO_PATH] =
                "No pair of addresses works: firewalls or NATs on both sides are in the way, and no "
                "relay is of help. A TURN server that both can reach is (TURNServers=).",
        [PEER_REASON_NO_DIRECT_PAIR] =
                "Only a relay connects the two: a NAT chooses its ports by destination, or UDP between them "
                "is blocked. Forward WireGuard's port on one side for a direct path.",
        [PEER_REASON_ONLY_TCP] =
                "Only TCP connects the two, which icewired has to carry: something on the way blocks UDP. "
                "Open UDP for a better path.",
        [PEER_REASON_PATH_DEAD] = "Nothing comes by the path any more, and no other is known yet: the peer "
                                  "is switched off or has lost its network, or something on the way has "
                                  "failed. Another path is being looked for.",
        [PEER_REASON_NO_HANDSHAKE] = "The path works, but WireGuard gets no handshake over it: does the "
                                     "peer still have our public key, are the preshared keys the same, or "
                                     "does a firewall filter WireGuard?",
        [PEER_REASON_NO_REDIRECT] = "The addresses are direct, but every packet passes through icewired: "
                                    "WireGuard's port is not "
                                    "shared. See Redirect in icewirectl status for why.",
};

const char *peer_reason_explain(PeerReason reason)
{
        return (int) reason >= 0 && reason < _PEER_REASON_MAX ? explanations[reason] : NULL;
}

/* What both sides know of their networks; `otherwise` where that explains nothing. */
static PeerReason decide_by_network(const PeerEvidence *e, PeerReason otherwise)
{
        switch (network_obstacle(&e->here, &e->there)) {
        case NETWORK_BLOCKED_HERE:
                return PEER_REASON_UDP_BLOCKED_HERE;
        case NETWORK_BLOCKED_THERE:
                return PEER_REASON_UDP_BLOCKED_THERE;
        case NETWORK_VARIES_BOTH:
                return PEER_REASON_MAPPING_VARIES;
        case NETWORK_NO_COMMON_FAMILY:
                return PEER_REASON_NO_COMMON_FAMILY;
        default:
                return otherwise;
        }
}

static PeerReason decide_by_path(const PeerEvidence *e)
{
        if (e->path_is_dead)
                return PEER_REASON_PATH_DEAD;
        switch (e->path) {
        case PATH_RELAYED:
                if (e->here.policy == POLICY_RELAY)
                        return PEER_REASON_POLICY_HERE;
                if (e->there.policy == POLICY_RELAY)
                        return PEER_REASON_POLICY_THERE;
                if (e->direct_refused)
                        return PEER_REASON_NO_HANDSHAKE;
                return decide_by_network(e, PEER_REASON_NO_DIRECT_PAIR);
        case PATH_PROXIED:
                if (e->direct_refused)
                        return PEER_REASON_NO_HANDSHAKE;
                return e->path_is_tcp ? decide_by_network(e, PEER_REASON_ONLY_TCP) : PEER_REASON_NO_REDIRECT;
        default:
                return PEER_REASON_NONE;
        }
}

static bool relay_refuses(RelayState state)
{
        return state == RELAY_STATE_REFUSED || state == RELAY_STATE_CREDENTIALS_REFUSED ||
               state == RELAY_STATE_CERTIFICATE_REFUSED;
}

/* Without a relay a policy of relays only comes to nothing, and with one a policy without them: what it
 * forbids would have been the way. */
static PeerReason decide_failure(const PeerEvidence *e)
{
        if (e->here.policy == POLICY_DIRECT)
                return PEER_REASON_POLICY_HERE;
        if (e->there.policy == POLICY_DIRECT)
                return PEER_REASON_POLICY_THERE;
        if (relay_refuses(e->relay))
                return PEER_REASON_RELAY_REFUSED;
        if (e->relay == RELAY_STATE_UNREACHABLE)
                return PEER_REASON_RELAY_UNREACHABLE;
        if (e->here.policy == POLICY_RELAY)
                return PEER_REASON_POLICY_HERE;
        if (e->there.policy == POLICY_RELAY)
                return PEER_REASON_POLICY_THERE;
        return decide_by_network(e, PEER_REASON_NO_PATH);
}

static PeerReason decide_silence(const PeerEvidence *e)
{
        if (e->envelope_refused)
                return PEER_REASON_ENVELOPE_REFUSED;
        if (!e->heard)
                return PEER_REASON_PEER_SILENT;
        return e->unanswered ? PEER_REASON_PEER_OFFLINE : PEER_REASON_NEGOTIATING;
}

static PeerReason decide_by_state(const PeerEvidence *e)
{
        switch (e->state) {
        case PEER_STATE_CONNECTING:
                return e->handshake_overdue ? PEER_REASON_NO_HANDSHAKE : PEER_REASON_NEGOTIATING;
        case PEER_STATE_NEGOTIATING:
                return PEER_REASON_NEGOTIATING;
        case PEER_STATE_FAILED:
                return decide_failure(e);
        default:
                return decide_silence(e);
        }
}

PeerReason peer_reason_decide(const PeerEvidence *e)
{
        if (e->state == PEER_STATE_CONNECTED)
                return decide_by_path(e);
        if (e->here.policy == POLICY_OFF)
                return PEER_REASON_POLICY_HERE;
        if (!e->broker_connected)
                return PEER_REASON_BROKER_LOST;
        if (!e->has_private_key)
                return PEER_REASON_NO_PRIVATE_KEY;
        if (!e->has_listen_port)
                return PEER_REASON_NO_LISTEN_PORT;
        if (e->state == PEER_STATE_CONNECTING)
                return decide_by_state(e);
        if (!e->has_address)
                return PEER_REASON_NO_ADDRESS;
        if (!e->rendezvous_up)
                return PEER_REASON_RENDEZVOUS_DOWN;
        if (e->there.policy == POLICY_OFF)
                return PEER_REASON_POLICY_THERE;
        if (policies_conflict(e->here.policy, e->there.policy))
                return PEER_REASON_POLICY_HERE;
        return decide_by_state(e);
}

bool peer_reason_is_about_network(PeerReason reason)
{
        switch (reason) {
        case PEER_REASON_RELAY_REFUSED:
        case PEER_REASON_RELAY_UNREACHABLE:
        case PEER_REASON_UDP_BLOCKED_HERE:
        case PEER_REASON_UDP_BLOCKED_THERE:
        case PEER_REASON_MAPPING_VARIES:
        case PEER_REASON_NO_COMMON_FAMILY:
        case PEER_REASON_NO_PATH:
        case PEER_REASON_NO_DIRECT_PAIR:
        case PEER_REASON_ONLY_TCP:
                return true;
        default:
                return false;
        }
}
