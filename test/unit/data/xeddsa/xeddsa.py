# SPDX-License-Identifier: LGPL-2.1-or-later
"""XEdDSA for Curve25519 in plain integers, written from the specification (Signal, "The XEdDSA and VXEdDSA
Signature Schemes", revision 1) and RFC 8032, to have something to check src/shared/xeddsa.c against. It shares
no formula with it: points are Edwards points from the start, and nothing here is constant-time.
"""

import hashlib

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)


def encode_number(n):
    return n.to_bytes(32, "little")


def decode_number(b):
    return int.from_bytes(b, "little")


def add(a, b):
    """The complete addition law of the twisted Edwards curve -x² + y² = 1 + dx²y² (RFC 8032, 5.1.4)."""
    t = D * a[0] * b[0] * a[1] * b[1]
    return ((a[0] * b[1] + b[0] * a[1]) * pow(1 + t, -1, P) % P,
            (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, -1, P) % P)


def multiply(n, point):
    result = (0, 1)
    while n:
        if n & 1:
            result = add(result, point)
        point = add(point, point)
        n >>= 1
    return result


def recover_x(y, sign):
    """The x of a y (RFC 8032, 5.1.3); None if the y is not on the curve."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_MINUS_1 % P
    if x * x % P != square:
        return None
    return x if x & 1 == sign else (P - x) % P


BASE = (recover_x(4 * pow(5, -1, P) % P, 0), 4 * pow(5, -1, P) % P)


def encode_point(point):
    return encode_number(point[1] | (point[0] & 1) << 255)


def clamp(private):
    k = decode_number(private)
    return k & ~7 & ~(3 << 254) | 1 << 254


def y_to_u(y):
    return (1 + y) * pow(1 - y, -1, P) % P


def u_to_y(u):
    return (u - 1) * pow(u + 1, -1, P) % P


def public_key(private):
    """The Curve25519 public key."""
    return encode_number(y_to_u(multiply(clamp(private), BASE)[1]))


def sign_of(private):
    """The sign that the Edwards form of the key has before XEdDSA makes it 0."""
    return multiply(clamp(private), BASE)[0] & 1


def calculate_key_pair(k):
    e = multiply(k, BASE)
    return encode_number(e[1]), -k % Q if e[0] & 1 else k % Q


def hash_1(*parts):
    return decode_number(hashlib.sha512(encode_number(2**256 - 2) + b"".join(parts)).digest())


def hash_0(*parts):
    return decode_number(hashlib.sha512(b"".join(parts)).digest())


def sign(private, message, nonce):
    public, a = calculate_key_pair(clamp(private))
    r = hash_1(encode_number(a), message, nonce) % Q
    commitment = encode_point(multiply(r, BASE))
    h = hash_0(commitment, public, message) % Q
    return commitment + encode_number((r + h * a) % Q)


def edwards_public_key(public):
    """The Ed25519 key that verifies what the Curve25519 key signed."""
    return encode_number(u_to_y(decode_number(public)))
