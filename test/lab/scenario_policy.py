# SPDX-License-Identifier: LGPL-2.1-or-later
"""the policies auto, direct, relay and off are enforced on both sides, change at once, and are named as the reason"""

import probe
from errors import LabError
from topology import NO_TURN, SERVER4, TUNNEL4, TUNNEL6, connected_sites


def run(lab):
    sites = connected_sites(lab)
    key = sites.keys["b"].public
    _relay(lab, sites, key)
    _direct(lab, sites, key)
    _off(lab, sites, key)
    _configured(lab, sites, key)


def _relay(lab, sites, key):
    lab.say("a wants b by a relay only: the path moves there while pings pass")
    pinger = probe.Pinger(sites.a, TUNNEL4["b"])
    sites.a.ctl("policy", key[:12], "relay")
    peers = _wait(sites, ("relayed",), "policy-here", "policy-there")
    echoes = pinger.stop()
    lab.say(f"{echoes.sent} pings, {echoes.lost} lost, longest gap {echoes.longest_gap * 1000:.0f} ms")
    if echoes.lost:
        raise LabError(f"{echoes.lost} of {echoes.sent} pings were lost on the way to the relay")
    if peers[0]["local"]["type"] != "relay" or not peers[0]["local"]["address"].startswith(SERVER4):
        raise LabError(f"a's end is not a relay of its own: {peers[0]}")
    sites.prove_relayed()
    for text in (sites.a.ctl("status"), sites.a.ctl("peers")):
        if "POLICY" not in text or "relay" not in text or "policy" not in text:
            raise LabError(f"icewirectl does not show the policy: {text}")
    if "until the configuration is read again" not in sites.a.ctl("peer", key):
        raise LabError(f"icewirectl peer does not say how long the policy holds: {sites.a.ctl('peer', key)}")


def _direct(lab, sites, key):
    lab.say("a wants b directly only: the relay is left")
    sites.a.ctl("policy", key, "direct")
    _wait(sites, ("direct",), "none", "none")
    sites.prove_direct()


def _off(lab, sites, key):
    lab.say("a wants nothing of b")
    sent = sites.a.peer(key)["counters"]["envelopesSent"]
    sites.a.ctl("policy", key, "off")
    there = sites.keys["a"].public
    sites.a.wait_peer(key, "no path that was negotiated", lambda p: p["policy"] == "off" and "local" not in p)
    if sites.a.peer(key)["counters"]["envelopesSent"] != sent + 1:
        raise LabError(f"a has said more than goodbye: {sites.a.peer(key)}")
    # WireGuard is left as it is, and reaches b.
    sites.ping()
    lab.say("where WireGuard does not reach it by itself, both say why")
    for host, other, name in ((sites.a, sites.keys["b"].public, "b"), (sites.b, there, "a")):
        host.links["wg0"].remove_peer(other)
        host.wait_gone(other)
        host.links["wg0"].add_peer(other, [TUNNEL4[name] + "/32", TUNNEL6[name] + "/128"])
    # What a person has set for the peer went with it.
    sites.wait_connected()
    sites.a.ctl("policy", key, "off")
    sites.b.links["wg0"].remove_peer(there)
    sites.b.wait_gone(there)
    sites.b.links["wg0"].add_peer(there, [TUNNEL4["a"] + "/32", TUNNEL6["a"] + "/128"])
    sites.b.wait_peer(there, "the reason policy-there",
                      lambda p: p["reason"] == "policy-there" and p["path"] == "none" and "off" in p["reasonDetail"])
    lab.say("and wants it again")
    sites.a.ctl("policy", key, "auto")
    sites.wait_connected()
    sites.prove_direct()


def _configured(lab, sites, key):
    lab.say("the configuration is read again, with a section for b and one for all others")
    sites.configure_host(sites.a)
    with open(sites.a.path("/etc/icewire/icewire.conf"), "a", encoding="utf-8") as f:
        f.write("[Peer]\nPolicy=off\n")
    sites.a.write("/etc/icewire/icewire.conf.d/50-b.conf", f"[Peer]\nPublicKey={key}\nPolicy=relay\n")
    sites.a.ctl("policy", key, "direct")
    sites.a.ctl("reload")
    _wait(sites, ("relayed",), "policy-here", "policy-there")
    if sites.a.peer(key)["policyTemporary"]:
        raise LabError("what a person had set is not gone with the reload")
    sites.prove_relayed()
    lab.say("a starts anew without a TURN server: b is not reached by any other way")
    sites.configure_host(sites.a, ICE=NO_TURN)
    sites.a.agent.stop()
    sites.a.start_agent().wait_ready()
    for host, other, reason in ((sites.a, "b", "policy-here"), (sites.b, "a", "policy-there")):
        host.wait_peer(sites.keys[other].public, f"no path, {reason}",
                       lambda p, r=reason: p["state"] == "failed" and p["path"] == "none" and p["reason"] == r)
    if probe.ping(sites.a, TUNNEL4["b"], 3, linger=1).received:
        raise LabError("a ping passed")


def _wait(sites, paths, here, there):
    """Both are connected by such a path, and name these reasons."""
    return (sites.a.wait_peer(sites.keys["b"].public, f"{paths}, {here}",
                              lambda p: p["state"] == "connected" and p["path"] in paths and p["reason"] == here),
            sites.b.wait_peer(sites.keys["a"].public, f"{paths}, {there}",
                              lambda p: p["state"] == "connected" and p["path"] in paths and p["reason"] == there))
