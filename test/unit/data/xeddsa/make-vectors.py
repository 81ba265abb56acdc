#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes vectors.txt, ed25519.txt and forgeries.txt beside this file, always the same; with --check only compares.

Every public key and signature is checked with python3-cryptography's X25519 and Ed25519 before it is written.
"""

import hashlib
import pathlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

import xeddsa

HERE = pathlib.Path(__file__).parent
LENGTHS = [0, 1, 2, 3, 16, 31, 32, 33, 63, 64, 65, 100, 111, 112, 127, 128, 129, 200, 255, 256, 257, 500, 511,
           512, 513, 777, 999, 1000]


def stream(*name):
    """Bytes that look random and depend on nothing but the name."""
    return hashlib.shake_256(" ".join(map(str, ("icewire xeddsa vectors",) + name)).encode()).digest


def hexadecimal(b):
    return b.hex() or "-"


def check_public_key(private, public):
    theirs = x25519.X25519PrivateKey.from_private_bytes(private).public_key()
    assert theirs.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw) == public


def xeddsa_vector(i, private, length, nonce):
    message = stream("message", i)(length)
    public = xeddsa.public_key(private)
    signature = xeddsa.sign(private, message, nonce)
    check_public_key(private, public)
    ed25519.Ed25519PublicKey.from_public_bytes(xeddsa.edwards_public_key(public)).verify(signature, message)
    return [xeddsa.sign_of(private)] + [hexadecimal(b) for b in (private, public, nonce, message, signature)]


def xeddsa_vectors():
    """Each length with a key of either sign; then keys and nonces at the edges."""
    yield ["# sign of the Edwards key before it is made 0, private key, public key, nonce, message, signature"]
    i = 0
    for length in LENGTHS:
        for wanted in (0, 1):
            while xeddsa.sign_of(stream("private", i)(32)) != wanted:
                i += 1
            yield xeddsa_vector(i, stream("private", i)(32), length, stream("nonce", i)(64))
            i += 1
    for private in (bytes(31) + b"\1", b"\1" + bytes(31), b"\xff" * 32, b"\xf8" + b"\xff" * 30 + b"\x7f",
                    b"\x07" + bytes(30) + b"\x80"):
        for nonce in (bytes(64), b"\xff" * 64):
            yield xeddsa_vector(i, private, 32, nonce)
            i += 1


def ed25519_vectors():
    """Where XEdDSA and RFC 8032 meet: a signature by an Ed25519 key with sign 0 is one by its Curve25519 form.
    The first three are those of RFC 8032, 7.1, the others are python3-cryptography's."""
    yield ["# Curve25519 public key, message, Ed25519 signature"]
    rfc = [("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b"),
           ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00"),
           ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
            "4a7c15e9716ed28dc027beceea1ec40a")]
    for seed, message, signature in rfc:
        yield ed25519_vector(bytes.fromhex(seed), bytes.fromhex(message), bytes.fromhex(signature))
    made = 0
    for i in range(1000):
        vector = ed25519_vector(stream("seed", i)(32), stream("ed25519 message", i)(made * 7))
        if vector and made < 10:
            made += 1
            yield vector


def ed25519_vector(seed, message, expected=None):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    if public[31] & 0x80:
        return None
    signature = key.sign(message)
    assert expected in (None, signature)
    u = xeddsa.encode_number(xeddsa.y_to_u(xeddsa.decode_number(public)))
    return [hexadecimal(b) for b in (u, message, signature)]


def forge(reason, public, sign_message, accepted):
    """Tries messages until the one signature that sign_message makes suits Ed25519, and says if it should."""
    for i in range(100):
        message = stream("forgery", reason, i)(20)
        signature = sign_message(message)
        if signature is not None:
            break
    edwards = xeddsa.edwards_public_key(xeddsa.encode_number(xeddsa.decode_number(public) % 2**255 % xeddsa.P))
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(edwards).verify(signature, message)
        assert accepted
    except InvalidSignature:
        assert not accepted
    return [reason] + [hexadecimal(b) for b in (public, message, signature)]


def key_of_small_order(u):
    """h A vanishes where h is a multiple of 8: then R = rB, s = r is a signature by nobody."""
    def sign_message(message):
        r = xeddsa.hash_0(b"r", message) % xeddsa.Q
        commitment = xeddsa.encode_point(xeddsa.multiply(r, xeddsa.BASE))
        h = xeddsa.hash_0(commitment, xeddsa.encode_number(xeddsa.u_to_y(u)), message) % xeddsa.Q
        return commitment + xeddsa.encode_number(r) if h % 8 == 0 else None
    return forge("small-order-key", xeddsa.encode_number(u), sign_message, True)


def commitment_of_small_order(encoded, accepted):
    """The owner of a key can make R whatever small point he likes where h lets it through."""
    private = stream("owner")(32)
    public, a = xeddsa.calculate_key_pair(xeddsa.clamp(private))

    def sign_message(message):
        h = xeddsa.hash_0(encoded, public, message) % xeddsa.Q
        return encoded + xeddsa.encode_number(h * a % xeddsa.Q)
    return forge("small-order-R", xeddsa.public_key(private), sign_message, accepted)


def commitment_with_torsion(point):
    """R plus a small point: good only for verifiers that multiply by the cofactor."""
    private = stream("owner")(32)
    public, a = xeddsa.calculate_key_pair(xeddsa.clamp(private))

    def sign_message(message):
        r = xeddsa.hash_0(b"r", message) % xeddsa.Q
        commitment = xeddsa.encode_point(xeddsa.add(xeddsa.multiply(r, xeddsa.BASE), point))
        h = xeddsa.hash_0(commitment, public, message) % xeddsa.Q
        return commitment + xeddsa.encode_number((r + h * a) % xeddsa.Q)
    return forge("torsion-R", xeddsa.public_key(private), sign_message, False)


def base_point_as_key():
    """The key of the scalar 1 is the base point, u = 9, one of the few that fit into 255 bits twice."""
    edwards = xeddsa.encode_point(xeddsa.BASE)

    def sign_message(message):
        r = xeddsa.hash_0(b"r", message) % xeddsa.Q
        commitment = xeddsa.encode_point(xeddsa.multiply(r, xeddsa.BASE))
        h = xeddsa.hash_0(commitment, edwards, message) % xeddsa.Q
        return commitment + xeddsa.encode_number((r + h) % xeddsa.Q)
    yield forge("good", xeddsa.encode_number(9), sign_message, True)
    yield forge("non-canonical-key", xeddsa.encode_number(9 + xeddsa.P), sign_message, True)


def forgeries():
    """What must be refused. Most of it plain Ed25519, as python3-cryptography has it, lets pass; this is checked."""
    yield ["# reason, public key, message, signature"]
    yield from base_point_as_key()
    private = stream("owner")(32)
    public = xeddsa.public_key(private)
    # A good signature, but the key is written in a second way.
    yield forge("non-canonical-key", xeddsa.encode_number(xeddsa.decode_number(public) | 1 << 255),
                lambda message: xeddsa.sign(private, message, bytes(64)), True)

    small = set()
    y = 2
    while len(small) < 8:
        x = xeddsa.recover_x(y, 0)
        if x is not None:
            point = xeddsa.multiply(xeddsa.Q, (x, y))
            small |= {xeddsa.multiply(i, point) for i in range(8)}
        y += 1
    for point in sorted(small):
        if point != (0, 1):
            yield commitment_with_torsion(point)
        yield commitment_of_small_order(xeddsa.encode_point(point), point == (0, 1))
    # The neutral element again, but with y = p + 1, with a sign, and with both.
    for encoded in (xeddsa.P + 1, 1 | 1 << 255, xeddsa.P + 1 | 1 << 255):
        yield commitment_of_small_order(xeddsa.encode_number(encoded), False)
    for u in sorted({xeddsa.y_to_u(y) for _, y in small if y != 1}):
        yield key_of_small_order(u)


def main():
    result = 0
    for name, vectors in (("vectors.txt", xeddsa_vectors), ("ed25519.txt", ed25519_vectors),
                          ("forgeries.txt", forgeries)):
        text = "".join(" ".join(map(str, line)) + "\n" for line in vectors())
        if "--check" not in sys.argv:
            (HERE / name).write_text(text)
        elif (HERE / name).read_text() != text:
            print(f"{name} is not what this script makes", file=sys.stderr)
            result = 1
    return result


if __name__ == "__main__":
    sys.exit(main())
