/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>

#include "event-util.h"
#include "world.h"

enum { INITIATION_SIZE = 148, PACKET_SIZE = 64 };
#define SESSION_LIFE (180 * USEC_PER_SEC)

void change_endpoint(Side *side, const SocketAddress *endpoint)
{
        WireguardPeer *peer = &side->device->peers[0];

        side->n_endpoints += !socket_address_equal(&peer->endpoint, endpoint);
        peer->endpoint = *endpoint;
}

void wireguard_send(Side *side, uint8_t type)
{
        const SocketAddress *to = &side->device->peers[0].endpoint;
        /* On the wire a keepalive is data. */
        uint8_t packet[INITIATION_SIZE] = { MIN(type, TYPE_DATA), [4] = type };

        side->device->peers[0].tx_bytes += type == TYPE_INITIATION ? INITIATION_SIZE : PACKET_SIZE;
        /* An endpoint that the test has made up is not reachable. */
        (void) sendto(side->wireguard, packet, type == TYPE_INITIATION ? INITIATION_SIZE : PACKET_SIZE, 0,
                      &to->sa, socket_address_length(to));
}

static int on_initiation(sd_event_source *source, uint64_t t, void *userdata)
{
        wireguard_send(userdata, TYPE_INITIATION);
        return 0;
}

static int on_response(sd_event_source *source, uint64_t t, void *userdata)
{
        wireguard_send(userdata, TYPE_RESPONSE);
        return 0;
}

void wireguard_initiate(Side *side)
{
        if (side->tired)
                return;
        side->initiated = true;
        cr_assert_geq(event_arm_timer(side->world->event, &side->initiation, side->world->delay,
                                      on_initiation, side, "initiation"),
                      0);
}

void wireguard_keep_alive(Side *side)
{
        usec_t handshake = side->device->peers[0].last_handshake;

        if (handshake > 0 && now(CLOCK_REALTIME) - handshake < SESSION_LIFE)
                wireguard_send(side, TYPE_IDLE);
        else
                wireguard_initiate(side);
}

static void wireguard_respond(Side *side)
{
        cr_assert_geq(event_arm_timer(side->world->event, &side->response, side->world->delay, on_response,
                                      side, "response"),
                      0);
}

static void wireguard_receive(Side *side, uint8_t type, const SocketAddress *from)
{
        WireguardPeer *peer = &side->device->peers[0];

        if (side->device->n_peers == 0 || !side->answers_handshakes)
                return;
        if (type == TYPE_RESPONSE && !side->initiated)
                return;
        change_endpoint(side, from);
        peer->rx_bytes += type == TYPE_INITIATION ? INITIATION_SIZE : PACKET_SIZE;
        if (type == TYPE_DATA)
                side->n_packets++;
        if (type == TYPE_INITIATION)
                wireguard_respond(side);
        if (type == TYPE_RESPONSE)
                wireguard_send(side, TYPE_KEEPALIVE);
        /* Either side is sure with what it gets after its own message. */
        if (type == TYPE_RESPONSE || type == TYPE_KEEPALIVE)
                peer->last_handshake = now(CLOCK_REALTIME);
        if (type == TYPE_INITIATION || type == TYPE_RESPONSE)
                side->initiated = false;
}

static int on_wireguard(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        SocketAddress from;
        socklen_t length = sizeof(from);
        uint8_t packet[INITIATION_SIZE];

        /* STUN that nobody else waits for comes here, too, and is not authentic. */
        if (recvfrom(fd, packet, sizeof(packet), 0, &from.sa, &length) >= PACKET_SIZE && packet[0] != 0)
                wireguard_receive(userdata, packet[4], &from);
        return 0;
}

uint16_t open_wireguard(Side *side)
{
        SocketAddress a;
        socklen_t size = sizeof(a);

        cr_assert_geq(socket_address_from_ip("0.0.0.0", 0, &a), 0);
        side->wireguard = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_geq(side->wireguard, 0);
        cr_assert_geq(bind(side->wireguard, &a.sa, socket_address_length(&a)), 0);
        cr_assert_geq(getsockname(side->wireguard, &a.sa, &size), 0);
        cr_assert_geq(event_add_io(side->world->event, &side->wireguard_source, side->wireguard, EPOLLIN,
                                   on_wireguard, side, "wireguard"),
                      0);
        return socket_address_port(&a);
}

void add_peer(Side *side)
{
        const World *w = side->world;
        WireguardPeer *peer;

        cr_assert_geq(wireguard_device_add_peer(side->device,
                                                side == &w->a ? &w->b.public_key : &w->a.public_key, &peer),
                      0);
}
