# SPDX-License-Identifier: LGPL-2.1-or-later
"""Routers: what stands between a host and the internet. Each has two interfaces, "wan" and "lan"."""

from namespace import Namespace

# What leaves by wan gets the router's address and, where it is free, keeps its port: Linux's mapping is then the same for
# every destination. Packets that nobody asked for are dropped before conntrack keeps them: an entry for them would take
# the port from the host behind, and the next packet out would get another one.
MASQUERADE = """
        chain translate { type nat hook postrouting priority srcnat
                oifname "wan" meta nfproto ipv4 masquerade
        }"""

# As above, but another port for every destination.
MASQUERADE_SYMMETRIC = """
        chain translate { type nat hook postrouting priority srcnat
                oifname "wan" meta nfproto ipv4 meta l4proto udp masquerade fully-random
                oifname "wan" meta nfproto ipv4 masquerade
        }"""

STATEFUL = """
        chain input { type filter hook input priority filter
                iifname "wan" ct state new drop
        }
        chain forward { type filter hook forward priority filter; policy drop
                ct state established,related accept
                iifname "lan*" oifname "wan" accept
        }"""

# Whoever knows the mapping may use it (and, address-restricted, has been written to before): what arrives at a
# mapped port goes to the host behind.
CONE = """
        map mapping {{ typeof udp sport : ip saddr . udp sport
                flags dynamic,timeout; timeout 5m
        }}
        set contacted {{ typeof ip daddr . udp sport
                flags dynamic,timeout; timeout 5m
        }}
        chain learn {{ type filter hook postrouting priority srcnat - 10
                oifname "wan" meta l4proto udp update @contacted {{ ip daddr . udp sport }}
                oifname "wan" meta l4proto udp update @mapping {{ udp sport : ip saddr . udp sport }}
        }}
        chain admit {{ type nat hook prerouting priority dstnat
                iifname "wan" meta l4proto udp {condition} dnat ip to udp dport map @mapping
        }}
        chain input {{ type filter hook input priority filter
                iifname "wan" ct state new drop
        }}
        chain forward {{ type filter hook forward priority filter; policy drop
                ct state established,related accept
                ct status dnat accept
                iifname "lan*" oifname "wan" accept
        }}"""

OUT_ONLY = """
        chain input {{ type filter hook input priority filter
                iifname "wan" ct state new drop
        }}
        chain forward {{ type filter hook forward priority filter; policy drop
                ct state established,related accept
                iifname "lan*" oifname "wan" {condition} accept
        }}"""

# What comes from a LAN for a mapping of the router's own goes to the host that has it, and its source becomes what it has
# outside (RFC 4787, section 6); from whom that is makes no difference.
HAIRPIN = """
table inet hairpin {{
        map mapping {{ typeof udp sport : ip saddr . udp sport
                flags dynamic,timeout; timeout 5m
        }}
        chain learn {{ type filter hook postrouting priority srcnat - 10
                oifname "wan" meta l4proto udp update @mapping {{ udp sport : ip saddr . udp sport }}
        }}
        chain admit {{ type nat hook prerouting priority dstnat
                iifname "lan*" ip daddr {outside} meta l4proto udp dnat ip to udp dport map @mapping
        }}
        chain translate {{ type nat hook postrouting priority srcnat - 5
                oifname "lan*" ct status dnat ct original ip daddr {outside} meta l4proto udp snat ip to {outside}
        }}
}}
table inet router {{
        chain forward {{
                iifname "lan*" oifname "lan*" ct status dnat accept
        }}
}}
"""

KINDS = {
    "none": "",
    "firewall": STATEFUL,
    "full-cone": MASQUERADE + CONE.format(condition=""),
    "address-restricted": MASQUERADE + CONE.format(condition="ip saddr . udp dport @contacted"),
    "port-restricted": MASQUERADE + STATEFUL,
    "symmetric": MASQUERADE_SYMMETRIC + STATEFUL,
    "udp-blocked": MASQUERADE + OUT_ONLY.format(condition="meta l4proto != udp"),
    "tcp-443": MASQUERADE + OUT_ONLY.format(condition="tcp dport 443"),
}


class Router(Namespace):
    """Carrier-grade NAT is a router behind a router. Further LANs, "lan2" and so on, do not see each other."""

    def __init__(self, lab, name, kind="none"):
        super().__init__(lab, name)
        self.kind = kind
        self.forwarding()
        if KINDS[kind]:
            self.nft(f"table inet router {{{KINDS[kind]}\n}}\n")

    def hairpin(self, outside):
        """From now on hosts behind it reach each other at their mappings; outside: its address at "wan"."""
        self.nft(HAIRPIN.format(outside=outside))

    def switch(self, interface):
        """Makes the interface a switch with any number of ports."""
        self.ip("link", "add", interface, "type", "bridge")
        # What only passes the switch is no matter for the router's rules, unless a module (br_netfilter) makes it so.
        if self.run("sysctl", "-n", "net.bridge.bridge-nf-call-iptables", check=False).returncode == 0:
            self.sysctl("net.bridge.bridge-nf-call-iptables", 0)
        self.ip("link", "set", interface, "up")

    def plug_in(self, machine, interface):
        """A cable from a machine's eth0 to the switch."""
        port = "to-" + machine.name
        machine.connect("eth0", self, port)
        self.ip("link", "set", port, "master", interface)
