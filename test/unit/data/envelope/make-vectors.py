#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes vectors.txt and topics.txt beside this file and the corpus of the fuzzer fuzz-envelope, always the same;
with --check only compares. Alice sends to Bob; the format is that of src/broker/envelope.h.
"""

import pathlib
import sys

import hpke

HERE = pathlib.Path(__file__).parent
CORPUS = HERE / "../../../fuzz/corpus/envelope"
sys.path.append(str(HERE / "../xeddsa"))

import xeddsa  # noqa: E402

CONTEXT = b"icewire envelope v1"
TOPIC_CONTEXT = b"icewire topic v1"
PSK_ID = b"icewire preshared key v1"

ALICE, BOB, MALLORY, PSK, OTHER_PSK = (
        hpke.sha256(b"icewire test ", name) for name in (b"alice", b"bob", b"mallory", b"psk", b"other psk"))
HELLO = b'{"type":"hello","instance":"00112233445566778899aabbccddeeff","sequence":1}'


def ephemeral(*what):
    return hpke.sha256(b"icewire test ephemeral", repr(what).encode())


def sign(body, signer=ALICE, sender=ALICE, recipient=BOB, context=CONTEXT):
    message = context + hpke.public_key(sender) + hpke.public_key(recipient) + body
    return xeddsa.sign(signer, message, (hpke.sha256(message) + signer)) + body


def seal(signed, sender=ALICE, recipient=BOB, context=CONTEXT, version=b"\1", aad=None, info_sender=ALICE,
         anonymous=False, psk=b"", psk_id=PSK_ID):
    info = context + hpke.public_key(info_sender) + hpke.public_key(recipient)
    return version + hpke.seal(ephemeral(signed, sender, recipient, context, version, aad, psk, psk_id),
                               None if anonymous else sender, hpke.public_key(recipient), info,
                               version if aad is None else aad, signed, psk, psk_id if psk else b"")


def envelope(body, **kwargs):
    return seal(sign(body), **kwargs)


def add_order(signed):
    s = xeddsa.decode_number(signed[32:64]) + xeddsa.Q
    return signed[:32] + xeddsa.encode_number(s) + signed[64:]


def cases():
    """Name, what opening says, the preshared key that Bob has, the body, the envelope."""
    yield "hello", "ok", b"", HELLO, envelope(HELLO)
    yield "hello-psk", "ok", PSK, HELLO, envelope(HELLO, psk=PSK)
    yield "empty", "ok", b"", b"", envelope(b"")
    yield "binary", "ok", b"", bytes(range(256)), envelope(bytes(range(256)))
    yield "longest", "ok", b"", b"x" * 12288, envelope(b"x" * 12288)
    yield "longer", "too-long", b"", b"", envelope(b"x" * 12289)
    yield "short-signature", "too-short", b"", b"", seal(sign(b"")[:63])
    yield "version-0", "unknown-version", b"", b"", envelope(HELLO, version=b"\0")
    yield "version-2", "unknown-version", b"", b"", envelope(HELLO, version=b"\2")

    foreign = "not-sealed-for-us"
    yield "no-psk", foreign, PSK, b"", envelope(HELLO)
    yield "needless-psk", foreign, b"", b"", envelope(HELLO, psk=PSK)
    yield "other-psk", foreign, PSK, b"", envelope(HELLO, psk=OTHER_PSK)
    yield "other-psk-id", foreign, PSK, b"", envelope(HELLO, psk=PSK, psk_id=b"another")
    yield "other-context", foreign, b"", b"", envelope(HELLO, context=b"icewire envelope v2")
    yield "other-aad", foreign, b"", b"", envelope(HELLO, aad=b"\2")
    yield "no-aad", foreign, b"", b"", envelope(HELLO, aad=b"")
    yield "other-recipient", foreign, b"", b"", envelope(HELLO, recipient=MALLORY)
    yield "other-sender", foreign, b"", b"", seal(sign(HELLO, MALLORY, MALLORY), MALLORY, info_sender=MALLORY)
    yield "other-sender-alices-name", foreign, b"", b"", envelope(HELLO, sender=MALLORY)
    yield "anonymous", foreign, b"", b"", envelope(HELLO, anonymous=True)
    yield "reflected", foreign, b"", b"", seal(sign(HELLO, BOB, BOB, ALICE), BOB, ALICE, info_sender=BOB)
    for u in (0, 1):
        yield f"small-enc-{u}", foreign, b"", b"", b"\1" + xeddsa.encode_number(u) + envelope(HELLO)[33:]

    bad = "bad-signature"
    yield "signed-by-another", bad, b"", b"", seal(sign(HELLO, MALLORY))
    yield "signed-for-another", bad, b"", b"", seal(sign(HELLO, recipient=MALLORY))
    yield "signed-as-another", bad, b"", b"", seal(sign(HELLO, sender=MALLORY))
    yield "signed-backwards", bad, b"", b"", seal(sign(HELLO, sender=BOB, recipient=ALICE))
    yield "signed-other-context", bad, b"", b"", seal(sign(HELLO, context=b"icewire envelope v2"))
    yield "signed-no-context", bad, b"", b"", seal(sign(HELLO, context=b""))
    yield "signed-other-body", bad, b"", b"", seal(sign(HELLO)[:64] + HELLO + b" ")
    yield "non-canonical-s", bad, b"", b"", seal(add_order(sign(HELLO)))
    yield "zero-signature", bad, b"", b"", seal(bytes(64) + HELLO)


def topic(private, peer, sender, recipient):
    return hpke.hkdf(hpke.dh(private, peer), TOPIC_CONTEXT + sender + recipient, 32).hex()


def make_topics():
    yield "# private key, public key, peer, topic to the peer, topic from the peer"
    for ours, theirs in ((ALICE, BOB), (BOB, ALICE), (ALICE, MALLORY)):
        public, peer = hpke.public_key(ours), hpke.public_key(theirs)
        yield " ".join((ours.hex(), public.hex(), peer.hex(),
                        topic(ours, peer, public, peer), topic(ours, peer, peer, public)))


def make_vectors():
    yield "# name, what opening says, recipient's private key, sender, preshared key, body, envelope"
    for name, result, psk, body, sealed in cases():
        yield " ".join((name, result, BOB.hex(), hpke.public_key(ALICE).hex(), psk.hex() or "-",
                        body.hex() or "-", sealed.hex()))


def make_corpus():
    """Envelopes as they are; behind 0xff what the fuzzer itself seals, so that it gets past HPKE."""
    for name, _, _, _, sealed in cases():
        if len(sealed) < 4096:
            yield name, sealed
    yield "inner-good", b"\xff" + sign(HELLO)
    yield "inner-zero", b"\xff" + bytes(64)
    yield "inner-short", b"\xff" + sign(HELLO)[:30]
    yield "garbage", b"\1" + b"".join(hpke.sha256(bytes([i])) for i in range(8))
    yield "text", HELLO
    yield "zero", bytes(200)


def check_hpke():
    """Our HPKE is that of RFC 9180."""
    for line in (HERE / "../hpke/rfc9180.txt").read_text().splitlines():
        if not line.startswith("#"):
            recipient, _, psk, psk_id, info, aad, plaintext, sealed, skem, sender = (
                    bytes.fromhex(field.replace("-", "")) for field in line.split())
            assert hpke.seal(skem, sender, hpke.public_key(recipient), info, aad, plaintext, psk, psk_id) == sealed


def main():
    check_hpke()
    files = {HERE / "vectors.txt": "\n".join(make_vectors()).encode() + b"\n",
             HERE / "topics.txt": "\n".join(make_topics()).encode() + b"\n"}
    files |= {CORPUS / name: data for name, data in make_corpus()}
    result = 0
    for path, data in files.items():
        if "--check" not in sys.argv:
            path.write_bytes(data)
        elif path.read_bytes() != data:
            print(f"{path.name} is not what this script makes", file=sys.stderr)
            result = 1
    return result


if __name__ == "__main__":
    sys.exit(main())
