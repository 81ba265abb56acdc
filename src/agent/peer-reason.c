/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer-reason.h"

static const char *const peer_reason_table[_PEER_REASON_MAX] = {
        [PEER_REASON_NONE] = "none",
        [PEER_REASON_BROKER_LOST] = "broker-lost",
        [PEER_REASON_NO_PRIVATE_KEY] = "no-private-key",
        [PEER_REASON_NO_LISTEN_PORT] = "no-listen-port",
        [PEER_REASON_RENDEZVOUS_DOWN] = "rendezvous-down",
        [PEER_REASON_PEER_SILENT] = "peer-silent",
        [PEER_REASON_ENVELOPE_REFUSED] = "envelope-refused",
        [PEER_REASON_NEGOTIATING] = "negotiating",
        [PEER_REASON_NO_ADDRESS] = "no-address",
        [PEER_REASON_NO_PATH] = "no-path",
        [PEER_REASON_NO_HANDSHAKE] = "no-handshake",
        [PEER_REASON_NO_REDIRECT] = "no-redirect",
        [PEER_REASON_NO_DIRECT_PAIR] = "no-direct-pair",
};
DEFINE_STRING_TABLE(peer_reason, PeerReason);

static const char *const explanations[_PEER_REASON_MAX] = {
        [PEER_REASON_NONE] = "The path is direct.",
        [PEER_REASON_BROKER_LOST] = "icewire-broker does not answer: systemctl status icewire-broker",
        [PEER_REASON_NO_PRIVATE_KEY] =
                "The link has no private key, so nothing can be signed: wg set LINK private-key FILE",
        [PEER_REASON_NO_LISTEN_PORT] = "The link is not bound to a port: is it up?",
        [PEER_REASON_RENDEZVOUS_DOWN] = "No rendezvous is up, so the peer cannot be told where we are.",
        [PEER_REASON_PEER_SILENT] =
                "Nothing came from the peer: it is offline, does not run icewire, uses another rendezvous, "
                "or one side has a wrong public key of the other.",
        [PEER_REASON_ENVELOPE_REFUSED] = "What comes in the peer's name cannot be opened: the preshared "
                                         "keys differ, or it is forged.",
        [PEER_REASON_NEGOTIATING] = "A path is being looked for.",
        [PEER_REASON_NO_ADDRESS] = "This host has no address that a peer could reach: is an uplink up?",
        [PEER_REASON_NO_PATH] = "No pair of addresses works: firewalls or NATs on both sides are in the way "
                                "and there is no relay. "
                                "A TURN server helps (TURNServers=).",
        [PEER_REASON_NO_HANDSHAKE] = "The path works, but WireGuard gets no handshake over it: does the "
                                     "peer still have our public key, "
                                     "and are the preshared keys the same?",
        [PEER_REASON_NO_REDIRECT] = "The addresses are direct, but every packet passes through icewired: "
                                    "WireGuard's port is not shared.",
        [PEER_REASON_NO_DIRECT_PAIR] = "Only a relay connects the two: both NATs choose their ports by "
                                       "destination, or UDP between them is blocked.",
};

const char *peer_reason_explain(PeerReason reason)
{
        return (int) reason >= 0 && reason < _PEER_REASON_MAX ? explanations[reason] : NULL;
}

static PeerReason decide_by_path(PathKind path)
{
        switch (path) {
        case PATH_PROXIED:
                return PEER_REASON_NO_REDIRECT;
        case PATH_RELAYED:
                return PEER_REASON_NO_DIRECT_PAIR;
        default:
                return PEER_REASON_NONE;
        }
}

static PeerReason decide_by_state(const PeerEvidence *e)
{
        switch (e->state) {
        case PEER_STATE_CONNECTING:
                return e->handshake_overdue ? PEER_REASON_NO_HANDSHAKE : PEER_REASON_NEGOTIATING;
        case PEER_STATE_NEGOTIATING:
                return PEER_REASON_NEGOTIATING;
        case PEER_STATE_FAILED:
                return PEER_REASON_NO_PATH;
        default:
                return e->envelope_refused ? PEER_REASON_ENVELOPE_REFUSED : PEER_REASON_PEER_SILENT;
        }
}

PeerReason peer_reason_decide(const PeerEvidence *e)
{
        if (e->state == PEER_STATE_CONNECTED)
                return decide_by_path(e->path);
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
        return decide_by_state(e);
}
