/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Opens what comes from the network as Bob, who has Alice for a peer, once without and once with a preshared
 * key. No mutation gets past HPKE, so what begins with 0xff is first sealed by Alice: then the fuzzer writes
 * the signature and the body. The keys are those of test/unit/data/envelope/make-vectors.py. */

#include <stdlib.h>

#include "alloc-util.h"
#include "envelope.h"
#include "hpke.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INFO "icewire envelope v1"
#define INFO_SIZE (sizeof(INFO) - 1)

static WireguardKey alice, alice_public, bob, bob_public, psk;

static void load_key(WireguardKey *key, const char *hex)
{
        if (wireguard_key_from_hex(hex, key) < 0)
                abort();
}

static void load_keys(void)
{
        load_key(&alice, "907f17a69284ea0b2e2e0f1996858c5b9dbeadf1fe6f5982385bfa6ef6c002b4");
        load_key(&alice_public, "30244be6750d5fc680f3f5f4a3d6f4bb416491658476f4d36ac3561f2a98a947");
        load_key(&bob, "70c33f22dc111ee96424083b80d5325c54b495df959047145bbd2e117984b22e");
        load_key(&bob_public, "c112a3ac4724cb3cb2119d73f14e43986f6bd000f878085e6a37eef6c0d03a5a");
        load_key(&psk, "84b3f8d7b26d2aa6e0998ec2dff1a9f103fbaf1495333a937820227013389e92");
}

static void try_open(const uint8_t *envelope, size_t envelope_size, const WireguardKey *preshared_key)
{
        EnvelopeKeys keys = { &bob, &bob_public, &alice_public, preshared_key };
        EnvelopeError error = _ENVELOPE_ERROR_INVALID;
        _cleanup_free_ char *body = NULL;
        size_t size;
        int r;

        r = envelope_open(&keys, envelope, envelope_size, &body, &size, &error);
        if (r != 0 && r != -EBADMSG)
                abort();
        if ((r == 0) != (error == ENVELOPE_OK) || !envelope_error_to_string(error))
                abort();
        if (r == 0 && (size > ENVELOPE_BODY_MAX || body[size] != '\0'))
                abort();
}

static void seal_and_open(const uint8_t *inner, size_t inner_size)
{
        uint8_t info[INFO_SIZE + 2 * WIREGUARD_KEY_SIZE];
        HpkeParameters parameters = { .private_key = &alice,
                                      .peer = &bob_public,
                                      .info = info,
                                      .info_size = sizeof(info),
                                      .aad = "\1",
                                      .aad_size = 1 };
        _cleanup_free_ uint8_t *sealed = NULL, *envelope = NULL;
        size_t size;

        memcpy(mempcpy(mempcpy(info, INFO, INFO_SIZE), alice_public.bytes, WIREGUARD_KEY_SIZE),
               bob_public.bytes, WIREGUARD_KEY_SIZE);
        if (hpke_seal(&parameters, inner, inner_size, &sealed, &size) < 0)
                abort();
        envelope = malloc(1 + size);
        if (!envelope)
                abort();
        envelope[0] = 1;
        memcpy(envelope + 1, sealed, size);
        try_open(envelope, 1 + size, /* preshared_key= */ NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (wireguard_key_is_zero(&alice))
                load_keys();
        try_open(data, size, /* preshared_key= */ NULL);
        try_open(data, size, &psk);
        if (size > 1 && data[0] == 0xff)
                seal_and_open(data + 1, size - 1);
        return 0;
}
